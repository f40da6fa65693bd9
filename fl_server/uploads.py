"""When each site began and finished handing an answer over, as the edge sees it.

Flower shows an answer to whoever asks for it once its upload has begun, and who then fetches it waits: a second, two,
four ... for pieces on their way, three minutes for those of a site that has died. SuperNode's calls tell when it is
there: `push-messages` begins an answer, and the next `pull-messages` comes when all of it has left.

A node begins anew where what it had in its hands is lost. A SuperNode that starts calls `activate-node`, once more
after each refusal, before it asks for tasks. A site's gate makes the same call where it has to drop an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from sqlalchemy import Engine, case, select, update

from core.clock import now
from core.records.db import reading, transaction
from core.records.tables import Presence, Site

BEGINS, ENDS, ACTIVATES = "push-messages", "pull-messages", "activate-node"


@dataclass(frozen=True)
class Upload:
    """A site's last upload, and when it was heard of; times are text of core.clock, or empty.

    Attributes:
        began: when its first call came.
        done: when it, or an earlier one, was over.
        seen: when the site last told its status.
        progressed: when its work last got on, as that status says.
        anew: when its node last began anew.
        opens: when its own hours begin, outside of which it is, as it told last.
    """

    began: str
    done: str
    seen: str = ""
    progressed: str = ""
    anew: str = ""
    opens: str = ""

    @property
    def waits(self) -> bool:
        """Whether the site works on nothing now, since its own hours have not begun."""
        return self.opens > now()

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not ended yet."""
        return self.began > max(self.done, self.anew)

    @property
    def was_broken_off(self) -> bool:
        """Whether the node ended in the middle of it."""
        return self.done < self.began < self.anew


class Uploads:
    """Notes uploads from the calls that the edge asks about; one at the service, whatever thread it is told in."""

    def __init__(self, records: Engine) -> None:
        self._records = records
        self._lock = Lock()
        with reading(records) as session:
            rows = session.execute(select(Site.name, Site.upload_began_at, Site.uploaded_at, Site.began_anew_at))
            self._open = {name for name, began, *ends in rows if (began or "") > max(end or "" for end in ends)}
        self._activating: dict[str, str] = {}

    def saw(self, site: str, path: str) -> None:
        """Take note of a call of Flower's that a site makes."""
        call = path.rpartition("/")[2]
        with self._lock:
            if call == ACTIVATES:
                self._activating[site] = now()
            elif call == BEGINS:
                self._open.add(site)
                self._note(site, upload_began_at=now())
            elif call == ENDS:
                self._asks_for_tasks(site)

    def _asks_for_tasks(self, site: str) -> None:
        activated = self._activating.pop(site, "")
        if activated:
            self._open.discard(site)
            self._note(site, began_anew_at=activated)
        elif site in self._open:
            self._open.discard(site)
            self._note(site, uploaded_at=now())

    def _note(self, site: str, **times: str) -> None:
        with transaction(self._records) as session:
            session.execute(update(Site).where(Site.name == site).values(**times))


def uploads_of(records: Engine, sites: tuple[str, ...]) -> Mapping[str, Upload]:
    """Return each enrolled site's last upload, and when it was heard of."""
    columns = select(
        Site.name,
        Site.upload_began_at,
        Site.uploaded_at,
        Site.seen_at,
        Presence.progressed_at,
        Site.began_anew_at,
        # What an idle site expects the end of is the time outside its hours; see core.site_protocol.Status.
        case((Presence.state == "idle", Presence.expected_end)),
    )
    with reading(records) as session:
        rows = session.execute(columns.outerjoin(Presence, Presence.site == Site.name).where(Site.name.in_(sites)))
        return {name: Upload(*(time or "" for time in times)) for name, *times in rows}
