"""Who a bearer token says is there: OpenID Connect ID tokens, checked against the issuer's published keys.

It names a person (`issuer#subject`) and no more: what that person may do stands in the list of people, and how much a
decision made with only this counts is the grade of the bridge that signs it (C). Algorithms are a list of asymmetric
ones, each key serves its own, issuer and audience must be ours, times are compared with a clock that is handed in.
Sources: OpenID Connect Core 1.0 section 3.1.3.7; RFC 7519; RFC 8725 (algorithms are not taken from the token).
"""

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from schemas import why
from tidegate._errors import ApproveError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_LEEWAY_S = 30
_MOST_BYTES = 16_384
_KEYS_S = 300
"""Keys are asked for again at most so often; an unknown key id does not make us ask more."""


class Oidc:
    """fetch: the issuer's key set as JSON; raises OSError or ValueError. Where that fails, keys seen before stay."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        fetch: Callable[[], Mapping[str, Any]],
        *,
        algorithms: tuple[str, ...] = ("RS256", "ES256"),
        longest_s: int = 3600,
    ) -> None:
        """longest_s: a token older than this is not taken, whatever it says itself. Raises ApproveError."""
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ApproveError(
                f"algorithms {list(algorithms)}", todo=f"Choose of {', '.join(ALGORITHMS)}", code="ALGORITHM"
            )
        self._issuer, self._audience, self._fetch = issuer, audience, fetch
        self._algorithms, self._longest_s = list(algorithms), longest_s
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_s: int | None = None

    def person(self, token: str, now_s: int) -> str:
        """`issuer#subject`. Raises ApproveError, code TOKEN_INVALID or TOKEN_EXPIRED, saying why."""
        if len(token) > _MOST_BYTES:
            raise _invalid("it is too long")
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(str(header.get("kid", "")), now_s)
            if header.get("alg") != key.algorithm_name or "crit" in header:
                raise _invalid("it is signed in another way than its key is for")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": ["exp", "iat", "iss", "aud", "sub"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.PyJWTError as error:
            raise _invalid(str(error)[:200]) from error
        self._check_times(claims, now_s)
        audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if len(audiences) > 1 and claims.get("azp") != self._audience:
            raise _invalid("it is for several audiences and was not given to us")
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise _invalid("it names nobody")
        return f"{claims['iss']}#{claims['sub']}"

    def _check_times(self, claims: Mapping[str, Any], now_s: int) -> None:
        times = [claims["exp"], claims["iat"], claims.get("nbf", claims["iat"])]
        if not all(type(one) in (int, float) and abs(one) < 1e12 for one in times):
            raise _invalid("a time in it is none")
        exp, iat, nbf = times
        if now_s >= exp + _LEEWAY_S or now_s >= iat + self._longest_s + _LEEWAY_S:
            raise ApproveError("the token has expired", todo="Log in again", code="TOKEN_EXPIRED")
        if max(iat, nbf) > now_s + _LEEWAY_S:
            raise _invalid("it is for a later time")

    def _key(self, kid: str, now_s: int) -> jwt.PyJWK:
        """The issuer's key of that id; the set is fetched where the id is new, not oftener than every five minutes."""
        is_time = self._asked_s is None or now_s - self._asked_s >= _KEYS_S
        if is_time:
            self._asked_s = now_s
            try:
                found = jwt.PyJWKSet.from_dict(dict(self._fetch()))
                self._keys = {str(key.key_id): key for key in found.keys if key.key_id}
            except (OSError, ValueError, jwt.PyJWTError) as error:
                if not self._keys:
                    raise _invalid(f"the issuer's keys cannot be had: {why(error)[:200]}") from error
        if kid not in self._keys:
            raise _invalid(f"the issuer has no key '{kid[:80]}'")
        return self._keys[kid]


def fetch_keys(url: str) -> Callable[[], Mapping[str, Any]]:
    """Gets a key set by HTTPS, or from a file (`file:///...`)."""

    def fetch() -> Mapping[str, Any]:
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.loads(answer.read(1 << 20))
        if not isinstance(found, dict):
            raise ValueError("the key set is no object")
        return found

    return fetch


def _invalid(why: str) -> ApproveError:
    return ApproveError(f"the token is not taken: {why}", code="TOKEN_INVALID")
