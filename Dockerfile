# Tidegate in one image. Not built where it is developed (no container engine there): see README, "What was not run".
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir uv==0.13.8 \
 && uv export --quiet --frozen --no-dev --extra fast --extra kafka --no-emit-project --output-file /requirements.txt \
 && uv build --quiet --wheel --out-dir /dist

FROM python:3.12-slim
COPY --from=build /requirements.txt /dist /tmp/install/
RUN pip install --no-cache-dir --require-hashes -r /tmp/install/requirements.txt \
 && pip install --no-cache-dir --no-deps /tmp/install/*.whl \
 && rm -rf /tmp/install \
 && useradd --system --uid 10001 --home-dir /var/lib/tidegate --create-home tidegate \
 && cd /var/lib/tidegate && mkdir log snapshots compiled && chown tidegate log snapshots compiled
# Compiled loops are kept here; where it cannot be written every start compiles again, which costs half a minute and 250 MB.
ENV NUMBA_CACHE_DIR=/var/lib/tidegate/compiled
USER 10001
WORKDIR /var/lib/tidegate
EXPOSE 4318
HEALTHCHECK --interval=15s --timeout=3s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4318/healthz', timeout=2)"]
ENTRYPOINT ["tidegate"]
CMD ["up", "--dir", "/var/lib/tidegate/log", "--host", "0.0.0.0", "--settings", "/etc/tidegate/settings.yaml"]
