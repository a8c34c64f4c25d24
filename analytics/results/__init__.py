"""From predictions per subject and fold to the numbers of an evaluation: plain JSON, no Django."""
