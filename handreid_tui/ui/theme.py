"""The two themes of handreid. Series colours keep apart for colour-blind eyes and differ in lightness too."""

from __future__ import annotations

from textual.theme import Theme

SERIES_DARK = ("#6cb6ff", "#f0a45d", "#63cfae", "#dd8fd6", "#e3d26f", "#a596ff", "#ee7b85", "#b4bfcb")
SERIES_LIGHT = ("#1b6ab3", "#b95a00", "#0b8062", "#a03a97", "#7d6a00", "#5a44c4", "#bd2f47", "#56626f")

DARK = Theme(
    name="handreid-dark",
    dark=True,
    primary="#6cb6ff",
    secondary="#8fa3b8",
    accent="#f0a45d",
    success="#7cc98a",
    warning="#e3c26f",
    error="#ee7b85",
    foreground="#d6dde6",
    background="#10141b",
    surface="#161b24",
    panel="#1f2733",
    variables={
        "border": "#5f7f9f",
        "border-blurred": "#2b3544",
        "footer-background": "#161b24",
        "footer-key-foreground": "#6cb6ff",
        "footer-description-foreground": "#8fa3b8",
        "block-cursor-background": "#2a4462",
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
    primary="#1b6ab3",
    secondary="#5a6878",
    accent="#b95a00",
    success="#227a3d",
    warning="#8a6500",
    error="#bd2f47",
    foreground="#1f2933",
    background="#faf9f6",
    surface="#ffffff",
    panel="#eeece6",
    variables={
        "border": "#7d9dbd",
        "border-blurred": "#d5d2ca",
        "footer-background": "#f1efe9",
        "footer-key-foreground": "#1b6ab3",
        "footer-description-foreground": "#5a6878",
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
