"""What each route of the API asks of a key. A route that is not here is refused."""

from __future__ import annotations

from collections.abc import Mapping

from newsletter.web.console.keys import Scope

NEEDS: Mapping[tuple[str, str], Scope] = {
    ("GET", "/briefs"): "briefs:read",
    ("POST", "/briefs"): "briefs:write",
    ("GET", "/briefs/{brief_id}"): "briefs:read",
    ("PUT", "/briefs/{brief_id}"): "briefs:write",
    ("GET", "/editions"): "editions:read",
    ("GET", "/editions/{name}"): "editions:read",
    ("GET", "/editions/{name}/content"): "editions:read",
    ("GET", "/editions/{name}/failures"): "editions:read",
    ("GET", "/editions/{name}/interest"): "editions:read",
    ("GET", "/editions/{name}/waves"): "editions:read",
    ("POST", "/editions/{name}/send"): "send",
    ("POST", "/editions/{name}/test"): "send",
    ("POST", "/editions/{name}/pause"): "send",
    ("POST", "/editions/{name}/resume"): "send",
    ("POST", "/editions/{name}/cancel"): "send",
    ("GET", "/sends/{order_id}"): "send",
    ("GET", "/audience"): "audience:read",
    ("POST", "/audience"): "audience:write",
    ("GET", "/audience/{reader_id}"): "audience:read",
    ("PATCH", "/audience/{reader_id}"): "audience:write",
    ("DELETE", "/audience/{reader_id}"): "audience:write",
    ("GET", "/audience/{reader_id}/story"): "audience:read",
    ("GET", "/suppressions"): "audience:read",
    ("POST", "/suppressions"): "audience:write",
    ("GET", "/events"): "events:read",
}
"""By method and path, without what all paths begin with."""
