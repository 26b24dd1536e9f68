"""What users would take instead, with its defaults: `scores.py FOLDER` scores every `*.npz` (x, t_s, first, step_s).

A file `NAME.scores` (npz, an array a peer, one score a window, higher is odder) is written for each; CPU seconds a peer
are printed. river sees one value after the other, scored before it is learned. ARIMA(1,0,1) is fitted on the last two
thousand training windows; its filter then goes on window by window, which is what `append` without a refit does.
Prophet is fitted on the training part and anew after each week, on at most four thousand windows of the last two weeks.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from prophet import Prophet
from river import anomaly, compose, preprocessing
from statsmodels.tsa.arima.model import ARIMA

WEEK_S, DAY_S = 7 * 86_400, 86_400
FITTED = 2000


def half_space_trees(x, t_s, first, step_s):
    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=7))
    out = np.zeros(len(x))
    for at, value in enumerate(x):
        if np.isfinite(value):
            row = {"value": float(value)}
            out[at] = model.score_one(row)
            model.learn_one(row)
    return out


def gaussian(x, t_s, first, step_s):
    model, out = anomaly.GaussianScorer(window_size=max(DAY_S // step_s, 100)), np.zeros(len(x))
    for at, value in enumerate(x):
        if np.isfinite(value):
            out[at] = model.score_one(None, float(value))
            model.learn_one(None, float(value))
    return out


def arima(x, t_s, first, step_s):
    scale = np.nanstd(x[:first]) or 1.0
    plain = (x - np.nanmean(x[:first])) / scale
    fitted = ARIMA(plain[max(first - FITTED, 0) : first], order=(1, 0, 1)).fit()
    whole = fitted.apply(plain)
    return np.nan_to_num(np.abs(whole.filter_results.standardized_forecasts_error[0]))


def prophet(x, t_s, first, step_s):
    out = np.zeros(len(x))
    begins = [first, *np.searchsorted(t_s, np.arange(t_s[first] + WEEK_S, t_s[-1] + 1, WEEK_S)).tolist()]
    frame = pd.DataFrame({"ds": pd.to_datetime(t_s, unit="s"), "y": x})
    for number, begin in enumerate(begins):
        taught = frame.iloc[int(np.searchsorted(t_s, t_s[begin] - 2 * WEEK_S)) : begin]
        model = Prophet(interval_width=0.99)
        model.fit(taught.iloc[:: max(len(taught) // 4000, 1)])
        judged = slice(0 if number == 0 else begin, begins[number + 1] if number + 1 < len(begins) else len(x))
        told = model.predict(frame.iloc[judged][["ds"]])
        wide = np.maximum((told["yhat_upper"] - told["yhat_lower"]).to_numpy() / 2, 1e-12)
        out[judged] = np.nan_to_num(np.abs(x[judged] - told["yhat"].to_numpy()) / wide)
    return out


SCORERS: dict[str, Callable] = {
    "river_half_space_trees": half_space_trees, "river_gaussian": gaussian, "statsmodels_arima": arima,
    "prophet": prophet,
}  # fmt: skip


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    for name in ("prophet", "cmdstanpy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    spent, failed = dict.fromkeys(SCORERS, 0.0), {}
    for file in sorted(folder.glob("*.npz")):
        held = np.load(file)
        x, t_s, first, step_s = held["x"], held["t_s"], int(held["first"]), int(held["step_s"])
        found = {}
        for name, scorer in SCORERS.items():
            begin = time.process_time()
            try:
                found[name] = scorer(x, t_s, first, step_s)
            except Exception as error:  # a peer that fails is told of, and scores nothing
                failed[f"{name} {file.stem}"] = f"{type(error).__name__}: {error}"[:200]
                found[name] = np.zeros(len(x))
            spent[name] += time.process_time() - begin
        with (folder / f"{file.stem}.scores").open("wb") as out:
            np.savez(out, **found)
    print(json.dumps({"cpu_s": spent, "failed": failed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
