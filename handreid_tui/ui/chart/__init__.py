"""Line charts in braille dots: a pure rasteriser and a widget around it."""
