"""The main job: whole reconstructions, and whether its verdicts hold."""
