"""The ten colours of a grid, light enough for a black digit; 0 is the background."""

COLOURS = (
    "#e8ecea", "#6fa8dc", "#e98b84", "#8fce8f", "#f3dc7a",
    "#b4b4b4", "#d99ad6", "#f2b47c", "#9adfe4", "#b08a7a",
)  # fmt: skip
