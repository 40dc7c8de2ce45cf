"""LoRAs: low-rank changes of weights (Hu et al. 2021, arXiv 2106.09685), read and made to fit."""
