"""Residuals that a U-Net takes as further inputs, such as a ControlNet's.

A U-Net keeps what its downward blocks give, and joins it with the upward blocks' features (skip
connections). A ControlNet (Zhang et al. 2023, arXiv 2302.05543, section 3.2) makes a tensor for
each skip connection, and one for the middle block, to be added there. So a network can be opened
with these tensors as inputs besides its own. The sums are inserted into the graph when an engine
opens it: files stay as they are, those that other tools exported take residuals too, and a network
that is opened without them computes what it always did.

A skip connection's tensor is also what the next downward block continues from, and that block must
not see the sum. Who must is therefore told by the graph: whatever reads the tensor and is not on
the way to the middle block. In int8 a reader may get it rounded; then the sum comes after the
rounding, because the ranges were observed without residuals.
"""

from sdrt.errors import UnsupportedError

DOWN, MIDDLE = "down_block_res_sample_", "mid_block_res_sample"


def residual_names(count: int) -> tuple[str, ...]:
    """Names of so many residuals: of the skip connections from the first layer on, then the middle.

    They are the outputs of a ControlNet's graph and the added inputs of a U-Net.
    """
    return (*(f"{DOWN}{i}" for i in range(count - 1)), MIDDLE)


def check_count(network: str, skips: int, residuals: int) -> None:
    """Raise `UnsupportedError` unless there is a residual for each skip and the middle block."""
    if skips == 0:
        raise UnsupportedError(
            f"{network} has no place where a ControlNet's results could be added: the features of "
            "its first layers do not meet those of its last; export the model with: sdrt export"
        )
    if residuals != skips + 1:
        raise UnsupportedError(
            f"{network} takes {skips + 1} results of a ControlNet ({skips} skip connections and "
            f"the middle block), and this one makes {residuals}; expected one of the model's family"
        )


def not_a_unet(network: str) -> UnsupportedError:
    """The error for a graph whose skip connections do not come from before the middle block."""
    return UnsupportedError(
        f"{network} joins features in an order that no U-Net of Stable Diffusion has, so a "
        "ControlNet's results have no place in it; export the model with: sdrt export"
    )
