"""Kinds of weather: the bounds within which a scene draws its light and its air."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import tomllib


@dataclasses.dataclass(frozen=True)
class Weather:
    """Bounds of what a scene draws; `weather.toml` says what each means."""

    zenith: list
    clouds: list
    haze: list
    haze_color: list
    visibility: list
    side_light: list
    light: list
    light_color: list
    shadow: list
    slant: list
    wet: list
    rain: list
    grain: list
    lamps: bool


@functools.cache
def load_weathers() -> dict[str, Weather]:
    """All kinds of weather by name, `fair` first."""
    tables = tomllib.loads(pathlib.Path(__file__).with_name("weather.toml").read_text(encoding="utf-8"))
    return {name: Weather(**table) for name, table in tables.items()}
