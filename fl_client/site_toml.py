"""The site.toml that `fl-client join` writes: every setting with what it means, for people to change."""

import json
from pathlib import Path

_TEMPLATE = """\
# Everything that a hospital decides by itself. FL_SECTION__KEY in the environment overrides, as FL_COMPUTE__WORKERS=4.

[site]
name = {name}                  # as the coordinator knows this site: a-z, 0-9 and hyphens
data = {data}      # holds train/<BraTS21ID>/<sequence>/, train_labels.csv and, if there are any, masks/
prepared = {prepared}   # prepared cases; safe to delete, costly to make again

[coordinator]
address = {address}   # host or host:port, as the invitation has it; empty: in no federation

[proxy]
url = {proxy}                        # where only a proxy may go out: "http://[user:password@]proxy.example.org:3128"

[preprocessing]                 # must be the study's, or training refuses and says so
grid = 48                       # voxels along each axis of the model's grid, a multiple of 16
margin_mm = 4.0                 # kept around the brain when cropping
normalization = "zscore"        # or "robust": median and interquartile range

[compute]
workers = 2                     # processes that prepare cases side by side
threads = 1                     # CPU threads of one training; fixed, so that results repeat
device = "auto"                 # "cpu", "cuda", or whichever there is

[policy]                        # what is approved without asking a person; what a person has refused stays so
approve = "never"               # "by-rule": where ALL of the rules below hold; the rest waits for you
max_rounds = 0                  # at most so many rounds
max_epochs_per_round = 0        # and so many passes over the cases in each
models = []                     # only these: "tiny", "small", "base", "large", "densenet121"
require_differential_privacy = true   # false: also studies whose updates are not noised

[privacy]                       # what a patient's privacy may cost; with a limit, nothing trains un-noised
epsilon = 0.0                   # in one study, all its runs: 1 is strong, 3 medium, 8 weak; 0: as the study says
budget = 0.0                    # in all studies together, for good; 0: no limit
delta = 1e-5                    # at which both hold

[hours]                         # when this machine trains; what comes outside waits, what is under way rests
windows = []                    # as ["20:00-06:00", "sat-sun 00:00-24:00"]; none: at any time
timezone = "UTC"                # whose wall clock, as "Europe/Istanbul"
"""


def site_toml(name: str, data: Path, prepared: Path, address: str, proxy: str = "") -> str:
    """Return the text of a site.toml.

    Args:
        name: the site's.
        data, prepared: folders, see `fl_client.config.SiteSettings`.
        address: the coordinator's.
        proxy: URL of the hospital's proxy, or empty.
    """
    values = {"name": name, "data": str(data), "prepared": str(prepared), "address": address, "proxy": proxy}
    # A JSON string is a TOML string.
    return _TEMPLATE.format(**{key: json.dumps(value, ensure_ascii=False) for key, value in values.items()})
