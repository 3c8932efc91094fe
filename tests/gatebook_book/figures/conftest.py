"""What tests of figures share."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from gatebook_book.figures import plots


@pytest.fixture
def house():
    """The house style, and no figure left open."""
    with mpl.rc_context():
        mpl.use("agg")
        plots.use_house_style()
        yield
        plt.close("all")
