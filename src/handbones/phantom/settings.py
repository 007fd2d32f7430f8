"""Every range that phantoms are drawn from, validated, with units; and the three presets.

Names ending in `_sd` are standard deviations, pairs are the ends of a uniform range, `chance` fields lie in 0 to 1.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from handbones.errors import UsageError

Chance = Annotated[float, Field(ge=0.0, le=1.0)]
Sd = Annotated[float, Field(ge=0.0)]


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first number must not exceed the second, got {pair[0]} and {pair[1]}")
    return pair


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Population(_Section):
    """Shapes of bones."""

    female: Chance = Field(0.52, description="share of women")
    age_years: Range = Field((19.0, 75.0), description="age")
    size_sd: Sd = Field(0.030, description="log size of the hand at a given body height")
    width_sd: Sd = Field(0.035, description="log width of all bones at a given length")
    digit_sd: Sd = Field(0.015, description="log length of a whole digit")
    bone_sd: Sd = Field(0.020, description="log length, width and depth of a single bone")
    profile_sd: Sd = Field(0.03, description="log width of base, waist and head")
    bend_mm_sd: Sd = Field(0.35, description="bow of a shaft, mm at its middle")
    relief_mm: Sd = Field(0.25, description="height of the smooth relief of a surface at 15 mm wavelength, mm")
    relief_wavelength_mm: Range = Field((5.0, 25.0), description="wavelength of the relief, mm")
    cortex_sd: Sd = Field(0.15, description="log thickness of the cortex")
    density_sd: Sd = Field(0.10, description="log attenuation of bone")
    carpal_shift_mm_sd: Sd = Field(0.6, description="where a carpal sits, mm")
    carpal_turn_deg_sd: Sd = Field(5.0, description="how a carpal is turned about each axis, degrees")
    joint_gap_mm_sd: Sd = Field(0.25, description="width of the joint spaces of fingers, mm")
    sesamoids: Chance = Field(1.0, description="factor on the natural chance of each sesamoid")
    tissue_sd: Sd = Field(0.10, description="log thickness of the soft tissue")


class PoseSettings(_Section):
    """How the hand lies on the detector. Angles in degrees."""

    tilted: Chance = Field(0.57, description="share of hands with the wrist bent to the little finger's side")
    tilt_deg: tuple[float, Sd] = Field((43.0, 5.0), description="tilt of those: mean, sd")
    straight_deg: tuple[float, Sd] = Field((4.0, 3.5), description="tilt of the others: mean, sd")
    tilt_any: Range | None = Field(None, description="if given, tilt is drawn from this range instead")
    finger_spread_deg: Sd = Field(3.0, description="sideways angle of each finger, sd")
    common_spread: Range = Field((0.7, 1.2), description="factor on the natural spread of all fingers")
    finger_flexion_deg: Range = Field((0.0, 12.0), description="bend of each finger joint")
    strong_flexion: Chance = Field(0.0, description="chance of a finger bent strongly")
    strong_flexion_deg: Range = Field((20.0, 70.0), description="bend of its joints")
    thumb_spread_deg: Range = Field((-8.0, 14.0), description="sideways angle of the thumb's metacarpal from rest")
    thumb_turn_deg: Sd = Field(8.0, description="roll of the thumb about its axis, sd")
    thumb_flexion_deg: Range = Field((-12.0, 20.0), description="bend of the thumb's joints in the picture's plane")
    pronation_deg: Sd = Field(4.0, description="roll of hand and forearm about the long axis, sd")
    foreshortening_deg: Sd = Field(3.0, description="lift of the fingers from the detector, sd")
    row_share: Range = Field((0.35, 0.60), description="share of the tilt that the proximal carpal row takes")


class View(_Section):
    """Where the hand lies in the picture."""

    mode: Literal["detector", "frame"] = Field(
        "detector", description="detector: fixed scale, forearm leaves through the lower border; frame: fitted box"
    )
    px_per_mm: Range = Field((6.9, 7.1), description="scale of the 2048-pixel detector (mode detector)")
    wrist_x: tuple[float, Sd] = Field((0.529, 0.020), description="lunate's place across, of the width: mean, sd")
    wrist_y: tuple[float, Sd] = Field((0.740, 0.022), description="lunate's place down, of the height: mean, sd")
    tilt_shift: tuple[float, float] = Field(
        (-0.059, -0.075), description="how far a wrist tilted by 43 degrees is moved to keep the hand in the middle"
    )
    rotation_deg: Sd = Field(1.5, description="turn of the whole picture, sd")
    rotation_any: Chance = Field(0.0, description="chance of any turn within 180 degrees")
    margin: Range = Field((-0.05, 0.25), description="room around the hand, of its size (mode frame)")
    forearm_mm: Range = Field((25.0, 110.0), description="forearm shown below the wrist, mm (mode frame)")
    zoomed: Chance = Field(0.0, description="chance of a part of the picture, around some bone, instead of all of it")
    zoom: Range = Field((0.3, 0.9), description="side of that part, of the picture")
    zoom_carpal: Chance = Field(0.5, description="chance that the bone is a carpal")
    source_mm: Range = Field((950.0, 1200.0), description="tube to detector, mm")
    beam_offset_mm: Sd = Field(30.0, description="distance of the central beam from the hand's middle, sd, mm")
    left: Chance = Field(0.5, description="share of left hands (mirrored)")


class Matter(_Section):
    """What attenuates the beam. Attenuation per mm, before the film's own contrast."""

    spongiosa_per_mm: Range = Field((0.040, 0.056), description="attenuation of spongy bone")
    cortex_factor: Range = Field((2.2, 3.6), description="compact over spongy bone")
    hollow: Range = Field((0.45, 0.80), description="share of the spongiosa that is missing at mid-shaft")
    trabeculae: Range = Field((0.05, 0.22), description="contrast of the trabecular texture")
    streaks: Range = Field((0.3, 0.9), description="share of the texture that runs along the bone")
    tissue_per_mm: Range = Field((0.012, 0.021), description="attenuation of soft tissue")
    tissue_mottle: Range = Field((0.0, 0.08), description="unevenness of the soft tissue (fat, muscle, folds)")
    spectrum: Range = Field((0.0, 0.5), description="share of hard rays, which bone stops 0.6 times as well")


class Film(_Section):
    """From the beam behind the hand to the finished picture."""

    scatter: Range = Field((0.0, 0.25), description="scattered over primary intensity")
    scatter_mm: Range = Field((8.0, 30.0), description="reach of scatter, sd")
    blur_px: Range = Field((0.2, 0.8), description="unsharpness of focus and detector, sd, at 512 pixels a side")
    noise: Range = Field((0.001, 0.008), description="quantum noise, sd over the intensity of open air")
    noise_grain_px: Range = Field((0.0, 1.0), description="correlation of the noise, sd in pixels")
    equalise: Range = Field((0.0, 0.4), description="share of the large-scale contrast that the vendor takes out")
    equalise_mm: Range = Field((10.0, 30.0), description="scale of it, sd")
    sharpen: Range = Field((0.0, 0.8), description="unsharp mask")
    sharpen_mm: Range = Field((0.3, 2.0), description="scale of it, sd")
    clahe: Chance = Field(0.0, description="chance of local histogram equalisation")
    clahe_clip: Range = Field((1.0, 4.0), description="its clip limit")
    low: Range = Field((0.00, 0.30), description="darkest shown attenuation, of the tissue's median")
    high: Range = Field((1.00, 1.35), description="brightest shown attenuation, of the bone's 99.5 % point")
    gamma: Range = Field((0.7, 1.2), description="exponent of the display curve")
    s_curve: Range = Field((0.0, 0.6), description="share of a sigmoid in the display curve")
    black: Range = Field((0.02, 0.08), description="grey of open air, 0 to 1")
    white: Range = Field((0.85, 1.0), description="grey of the densest bone, 0 to 1")
    gradient: Range = Field((0.0, 0.05), description="brightening of the background to one side or the corners")
    grain: Range = Field((0.0, 0.008), description="noise of the finished picture, sd, 0 to 1")
    inverted: Chance = Field(0.0, description="chance of dark bones on white (MONOCHROME1)")
    jpeg: Chance = Field(0.0, description="chance of JPEG artefacts")
    jpeg_quality: Range = Field((30.0, 95.0), description="quality of the JPEG")
    grid_lines: Chance = Field(0.0, description="chance of anti-scatter grid lines")
    scan: Chance = Field(0.0, description="chance of dust, scratches and uneven light of a scanned film")
    resample: Chance = Field(0.0, description="chance of a picture that was once smaller")
    resample_factor: Range = Field((0.35, 0.9), description="how much smaller")


class Frame(_Section):
    """What surrounds the hand in the picture."""

    collimated: Chance = Field(0.0, description="chance of shutters: a rotated rectangle of exposed field")
    collimation_margin: Range = Field((-0.02, 0.15), description="distance of a shutter from the picture's border")
    shutter_grey: Range = Field((0.0, 0.25), description="grey of the shuttered area, 0 to 1")
    white_border: Chance = Field(0.0, description="chance that the shuttered area is white instead")
    top_bar: Chance = Field(0.6, description="chance of a bright, slightly slanted bar along the upper edge")
    letterbox: Chance = Field(0.0, description="chance of bars at two sides, black or white")
    letterbox_share: Range = Field((0.02, 0.22), description="width of each bar, of the picture")
    text: Chance = Field(0.15, description="chance of burned-in text")
    marker: Chance = Field(0.25, description="chance of a side marker (R or L)")
    scale_bar: Chance = Field(0.0, description="chance of a ruler")


class Things(_Section):
    """Foreign objects, by the chance that a picture shows them."""

    ring: Chance = Field(0.03, description="a ring on a finger")
    nails: Chance = Field(0.3, description="finger nails or nail tips")
    plate: Chance = Field(0.005, description="a plate with screws")
    wire: Chance = Field(0.005, description="a Kirschner wire")
    line: Chance = Field(0.01, description="a cannula, a tube or a cable")
    cast: Chance = Field(0.005, description="a cast or splint")
    distractor: Chance = Field(0.0, description="another bright shape away from the hand")


class PhantomSettings(_Section):
    """All ranges of a phantom."""

    population: Population = Field(default_factory=Population)
    pose: PoseSettings = Field(default_factory=PoseSettings)
    view: View = Field(default_factory=View)
    matter: Matter = Field(default_factory=Matter)
    film: Film = Field(default_factory=Film)
    frame: Frame = Field(default_factory=Frame)
    things: Things = Field(default_factory=Things)
    sesamoid_in_metacarpal: Chance = Field(
        0.92, description="chance that overlapping sesamoids belong to the label finger-3, as the competition has it"
    )
    not_a_hand: Chance = Field(0.0, description="chance of a picture without any of the 29 bones (training)")
    two_hands: Chance = Field(0.0, description="chance of a picture of both hands (training)")

    def with_tilted(self, share: float | None) -> "PhantomSettings":
        """The same with another share of bent wrists; None changes nothing."""
        if share is None:
            return self
        return self.model_copy(update={"pose": self.pose.model_copy(update={"tilted": share})})


REALISTIC = PhantomSettings()
"""The competition's look: one detector, one vendor, 57 % of the wrists bent."""

CLEAN = PhantomSettings(
    film=Film(
        scatter=(0.0, 0.0), noise=(0.0, 0.0), equalise=(0.1, 0.1), sharpen=(0.2, 0.2), low=(0.1, 0.1), high=(1.1, 1.1),
        gamma=(0.9, 0.9), s_curve=(0.2, 0.2), black=(0.03, 0.03), white=(0.95, 0.95), gradient=(0.0, 0.0),
        grain=(0.0, 0.0),
    ),
    frame=Frame(top_bar=0.0, text=0.0, marker=0.0),
    things=Things(ring=0.0, nails=0.0, plate=0.0, wire=0.0, line=0.0, cast=0.0),
)  # fmt: skip
"""No noise, no foreign objects: for students, figures and tests."""

WILD = PhantomSettings(
    population=Population(
        age_years=(16.0, 90.0), size_sd=0.05, width_sd=0.06, digit_sd=0.03, bone_sd=0.04, profile_sd=0.06,
        bend_mm_sd=0.6, relief_mm=0.45, cortex_sd=0.3, density_sd=0.2, carpal_shift_mm_sd=1.0, carpal_turn_deg_sd=9.0,
        joint_gap_mm_sd=0.5, tissue_sd=0.2,
    ),
    pose=PoseSettings(
        tilted=0.4, tilt_deg=(38.0, 9.0), straight_deg=(0.0, 9.0), finger_spread_deg=4.5, common_spread=(0.2, 1.4),
        finger_flexion_deg=(-4.0, 22.0), strong_flexion=0.06, thumb_spread_deg=(-18.0, 30.0), thumb_turn_deg=16.0,
        thumb_flexion_deg=(-18.0, 28.0), pronation_deg=9.0, foreshortening_deg=7.0, row_share=(0.25, 0.7),
    ),
    view=View(
        mode="frame", rotation_deg=14.0, margin=(-0.06, 0.35), forearm_mm=(12.0, 130.0), zoomed=0.5,
        source_mm=(700.0, 1500.0), beam_offset_mm=60.0,
    ),
    matter=Matter(
        spongiosa_per_mm=(0.030, 0.070), cortex_factor=(1.6, 4.5), hollow=(0.2, 0.9), trabeculae=(0.0, 0.35),
        streaks=(0.0, 1.0), tissue_per_mm=(0.006, 0.030), tissue_mottle=(0.0, 0.15), spectrum=(0.0, 0.8),
    ),
    film=Film(
        scatter=(0.0, 0.45), scatter_mm=(4.0, 40.0), blur_px=(0.1, 1.2), noise=(0.0, 0.015), noise_grain_px=(0.0, 1.5),
        equalise=(0.0, 0.75), equalise_mm=(4.0, 40.0), sharpen=(0.0, 1.6), sharpen_mm=(0.2, 4.0), clahe=0.12,
        low=(-0.2, 0.9), high=(0.8, 1.45), gamma=(0.55, 1.7), s_curve=(0.0, 1.0), black=(0.0, 0.2),
        white=(0.6, 1.0), gradient=(0.0, 0.15), grain=(0.0, 0.02), inverted=0.06, jpeg=0.15, grid_lines=0.03,
        scan=0.08, resample=0.15,
    ),
    frame=Frame(
        collimated=0.35, white_border=0.15, top_bar=0.15, letterbox=0.25, text=0.3, marker=0.4, scale_bar=0.08,
    ),
    things=Things(ring=0.08, nails=0.3, plate=0.02, wire=0.02, line=0.05, cast=0.03, distractor=0.15),
    sesamoid_in_metacarpal=0.0, not_a_hand=0.03, two_hands=0.02,
)  # fmt: skip
"""Domain randomisation: everything varies further than reality does, so that reality is one case of many."""

PRESETS: dict[str, PhantomSettings] = {"realistic": REALISTIC, "wild": WILD, "clean": CLEAN}


def find_preset(settings: PhantomSettings | str) -> PhantomSettings:
    """Settings as they are, or the preset of that name. Raises `UsageError` for an unknown one."""
    if isinstance(settings, PhantomSettings):
        return settings
    if settings not in PRESETS:
        raise UsageError(f"unknown phantoms {settings!r}: there are {', '.join(PRESETS)}")
    return PRESETS[settings]
