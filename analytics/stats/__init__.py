"""Statistics of prediction and survival: arrays in, frozen results out, no Django."""
