"""Backtesting: forecasts from rolling origins, held against what came, beside baselines."""

from ctmodels.backtesting._backtest import backtest as backtest
from ctmodels.backtesting._history import History as History
from ctmodels.backtesting._result import Backtest as Backtest
from ctmodels.backtesting._scores import Difference as Difference
