"""From painted primitives to a picture: colours, haze, light, weather, and the camera's blur and noise."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from keras_deeplab.data.street.canvas import Canvas, Painting
from keras_deeplab.data.street.texture import flat_texture, roughness
from keras_deeplab.data.street.weather import Weather


class Film(NamedTuple):
    """What is the same in all pictures of a scene: the light of the day and the camera's faults.

    Attributes:
        noise: float32 `[H, W]`, standard normal.
        patches: float32, coarse standard normal noise.
        light: float (3), what the camera makes of red, green and blue.
        blur: standard deviation in pixels.
        grain: standard deviation of the camera's noise in grey levels.
        shadow, wet, rain: as in `Weather`.
    """

    noise: np.ndarray
    patches: np.ndarray
    light: np.ndarray
    blur: float
    grain: float
    shadow: float
    wet: float
    rain: float


def draw_film(rng: np.random.Generator, image_size, weather: Weather, extra_rng: np.random.Generator) -> Film:
    """Chooses the light and the camera's faults."""
    height, width = image_size
    return Film(
        noise=rng.standard_normal((height, width), np.float32),
        patches=rng.standard_normal((height // 8 + 1, width // 8 + 1), np.float32),
        light=rng.uniform(*weather.light) * rng.uniform(*weather.light_color),
        blur=rng.uniform(0.3, 0.8),
        grain=rng.uniform(*weather.grain),
        shadow=extra_rng.uniform(*weather.shadow),
        wet=extra_rng.uniform(*weather.wet),
        rain=extra_rng.uniform(*weather.rain),
    )


def take_picture(
    canvas: Canvas,
    painting: Painting,
    film: Film,
    rng: np.random.Generator,
    texture: np.ndarray | None = None,
) -> np.ndarray:
    """The picture of a painting.

    Args:
        canvas: `Canvas` of the painting.
        painting: `Painting`.
        film: `Film`.
        rng: `Generator` for what differs from frame to frame.
        texture: float32 `[H, W]`, how bright rough surfaces are, which is overwritten. With `None` it comes
            from the film's noise, and so does the grain.

    Returns:
        uint8 `[H, W, 3]`, RGB.
    """
    if texture is None:
        texture, noise = flat_texture(film.noise, film.patches), film.noise[::-1, ::-1]
    else:
        # Noise of another place looks like other noise, and takes a tenth of the time.
        noise = np.roll(film.noise, rng.integers(texture.shape), (0, 1))
    packed = paint_colors(canvas, painting)
    if film.wet:
        _mirror(packed, _is_ground(canvas, painting), film.wet)
    gain = _expose(canvas, painting, film, texture)
    # Brightness is cut down to whole grey levels, not rounded.
    grain = np.float32(film.grain) * noise
    grain -= 0.5
    if film.rain:
        grain += _streaks(film.rain, gain.shape, rng)
    planes, plane = [], None
    colors = cv2.split(packed.view(np.uint8).reshape(*gain.shape, 4))[:3]
    for color, light in zip(colors, film.light.tolist(), strict=True):
        plane = cv2.multiply(color, gain, plane, light, cv2.CV_32F)
        cv2.GaussianBlur(plane, (3, 3), film.blur, plane)
        planes.append(cv2.add(plane, grain, dtype=cv2.CV_8U))
    return cv2.merge(planes)


def _expose(canvas, painting, film, texture):
    """float32 `[H, W]`, the brightness of each pixel relative to its colour; made of `texture` in place."""
    gain, looked_up = texture, np.empty_like(texture)
    rough = _per_region(canvas, painting, roughness)
    gain *= np.take(rough, painting.surfaces, mode="clip", out=looked_up)
    gain += 1
    shade = canvas.shade()
    if shade is not None:
        is_shaded = shade & _is_ground(canvas, painting)
        gain *= np.take(np.float32([1, 1 - film.shadow]), is_shaded, mode="clip", out=looked_up)
    if canvas.lamps:
        glow = max(1 / film.light.mean(), 1)
        glow = np.array([glow if p.glow else 1 for p in painting.primitives], np.float32)
        gain *= np.take(glow, painting.top, mode="clip", out=looked_up)
    return gain


def paint_colors(canvas, painting):
    """uint32 `[H, W]`: red, green, blue and a spare byte of every pixel, in the air of the scene."""
    primitives, top = painting.primitives, painting.top
    colors = np.array([p.color for p in primitives], float)
    clear = np.array([p.clear for p in primitives])[:, None]
    light = np.array([p.light for p in primitives])[:, None]
    colors = colors * (light * clear) + np.array(canvas.haze) * (1 - clear)
    colors = np.rint(np.clip(colors, 0, 255)).astype(np.uint8)
    packed = np.take(_pack(colors), top, mode="clip")

    horizon = int(np.clip(canvas.camera.horizon, 0, len(top)))
    if len(canvas.ground) and horizon < len(top):
        _haze_ground(canvas, packed[horizon:], top[horizon:], colors[canvas.ground])
    if canvas.sky is not None:
        upper = slice(len(canvas.sky))
        np.copyto(packed[upper], _pack(canvas.sky), where=top[upper] == canvas.sky_number)
    return packed


def _haze_ground(canvas, packed, top, colors):
    """Gives the ground of the rows below the horizon the haze of its distance, which is that of its row."""
    first, count = canvas.ground.start, len(canvas.ground)
    rows = np.arange(1, len(top) + 1)
    depth = canvas.camera.focal * canvas.camera.height / rows
    clear = np.exp(-depth / canvas.visibility).astype(np.float32)[:, None, None]
    table = (colors * clear + np.float32(canvas.haze) * (1 - clear)).astype(np.uint8)
    offsets = (count * (rows - 1) - first).astype(np.int32)[:, None]
    shown = np.take(_pack(table), top + offsets, mode="clip")
    np.copyto(packed, shown, where=(top >= first) & (top < first + count))


def _pack(colors):
    """uint8 `[..., 3]` -> uint32 `[...]`, which is faster to gather."""
    packed = cv2.cvtColor(colors.reshape(1, -1, 3), cv2.COLOR_RGB2RGBA)
    return packed.view(np.uint32).reshape(colors.shape[:-1])


def _is_ground(canvas, painting):
    """uint8 `[H, W]`, 1 where the ground is seen."""
    surfaces, ground = painting.surfaces, canvas.ground
    return ((surfaces >= ground.start) & (surfaces < ground.stop)).astype(np.uint8)


def _per_region(canvas, painting, function):
    """float32 (primitives), a function of the class of each primitive's region."""
    values = np.array([function(name) for name in canvas.classes], np.float32)
    return values[painting.region_numbers()]


def _mirror(packed, is_ground, share):
    """Lets wet ground mirror what is above it, blurred downwards."""
    height, width = packed.shape
    top = int(np.argmax(is_ground.any(1)))
    if not top:
        return
    picture = packed.view(np.uint8).reshape(height, width, 4)
    rows = height - top
    mirrored = cv2.resize(picture[top - 1 :: -1], (width, max(rows // 8, 1)), interpolation=cv2.INTER_AREA)
    mirrored = cv2.resize(mirrored, (width, rows), interpolation=cv2.INTER_LINEAR)
    wet = cv2.addWeighted(picture[top:], 1 - share, mirrored, share, 0)
    np.copyto(packed[top:], wet.view(np.uint32)[..., 0], where=is_ground[top:].astype(bool))


def _streaks(count, size, rng):
    """float32 `[H, W]`, the brightness of falling rain; `count` streaks in a thousand columns."""
    height, width = size
    number = round(count * width / 1000)
    ends = rng.uniform((0, -0.1), (1, 1), (number, 1, 2)) * (width, height)
    fall = rng.uniform(0.03, 0.12, (number, 1, 1)) * height * np.array([rng.uniform(-0.2, 0.2), 1])
    lines = np.rint(np.concatenate([ends, ends + fall], 1)).astype(np.int32)
    streaks = np.zeros(size, np.float32)
    return cv2.polylines(streaks, list(lines), False, rng.uniform(15, 40))
