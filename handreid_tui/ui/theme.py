"""The two themes of handreid. Series colours keep apart for colour-blind eyes and differ in lightness too.

Every colour of text has a contrast of 4.5 or more to every ground it stands on, that of the cursor included.
"""

from __future__ import annotations

from textual.theme import Theme

SERIES_DARK = ("#6cb6ff", "#f0a45d", "#63cfae", "#dd8fd6", "#e3d26f", "#aa9cff", "#f08790", "#b4bfcb")
SERIES_LIGHT = ("#155c9e", "#9c4c00", "#076a51", "#973590", "#6c5b00", "#5a44c4", "#b02a41", "#525e6a")

DARK = Theme(
    name="handreid-dark",
    dark=True,
    primary="#6cb6ff",
    secondary="#94a8bd",
    accent="#f0a45d",
    success="#7cc98a",
    warning="#e3c26f",
    error="#f08790",
    foreground="#d6dde6",
    background="#10141b",
    surface="#161b24",
    panel="#1f2733",
    variables={
        "border": "#5f7f9f",
        "border-blurred": "#2b3544",
        "footer-background": "#161b24",
        "footer-key-foreground": "#6cb6ff",
        "footer-description-foreground": "#94a8bd",
        "block-cursor-background": "#243d58",
        "block-cursor-foreground": "#f2f6fa",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#222c3a",
        "input-selection-background": "#6cb6ff 35%",
        "scrollbar": "#2b3544",
        "scrollbar-background": "#10141b",
        "scrollbar-corner-color": "#10141b",
    },
)

LIGHT = Theme(
    name="handreid-light",
    dark=False,
    primary="#155c9e",
    secondary="#525f6e",
    accent="#9c4c00",
    success="#1c6b34",
    warning="#745500",
    error="#b02a41",
    foreground="#1f2933",
    background="#faf9f6",
    surface="#ffffff",
    panel="#eeece6",
    variables={
        "border": "#7d9dbd",
        "border-blurred": "#d5d2ca",
        "footer-background": "#f1efe9",
        "footer-key-foreground": "#155c9e",
        "footer-description-foreground": "#525f6e",
        "block-cursor-background": "#cfe2f5",
        "block-cursor-foreground": "#12202e",
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": "#e6e4dd",
        "scrollbar": "#d5d2ca",
        "scrollbar-background": "#faf9f6",
        "scrollbar-corner-color": "#faf9f6",
    },
)

THEMES = (DARK, LIGHT)


def series_colors(dark: bool) -> tuple[str, ...]:
    """The colours of chart lines, first to last."""
    return SERIES_DARK if dark else SERIES_LIGHT
