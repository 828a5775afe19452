import dataclasses

import numpy as np
import pytest

from keras_deeplab.data.street.weather import load_weathers


def test_fair_weather_comes_first():
    assert list(load_weathers()) == ["fair", "sunny", "overcast", "rain", "fog", "dusk"]


@pytest.mark.parametrize("name", load_weathers())
def test_bounds_are_ordered(name):
    weather = dataclasses.asdict(load_weathers()[name])
    assert isinstance(weather.pop("lamps"), bool)
    assert [len(bounds) for bounds in weather.pop("zenith")] == [2, 2, 2]
    assert len(weather.pop("haze_color")) == 3
    least, most = np.array(weather.pop("light_color"))
    assert least.shape == (3,)
    assert (least <= most).all()
    for least, most in weather.values():
        assert least <= most
