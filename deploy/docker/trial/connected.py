"""Say by the exit code whether a site takes part: each of its processes runs, and the coordinator has just answered."""

import sys

from core.clock import age_s
from core.supervision import states_of
from fl_client.contact import read_contact
from fl_client.paths import this_home

RECENT_S = 60

if __name__ == "__main__":
    home = this_home()
    processes = states_of(home.root)
    reached_at = read_contact(home.contact).reached_at
    runs = bool(processes) and all(process.pid for process in processes)
    sys.exit(not (runs and reached_at and age_s(reached_at) < RECENT_S))
