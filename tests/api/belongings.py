"""One of everything that a tenant can have, made over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.api.serving import ACCOUNT, Answer, Caller


@dataclass(frozen=True)
class Belongings:
    """What a tenant has, by the names that the API's description has for it."""

    tenant_id: int
    account_id: int
    """A traffic account that is this tenant's alone."""
    number: str
    """Of that account, given to the tenant."""
    list_id: int
    contact_id: int
    """On the list."""
    campaign_id: int
    """Enqueued to the list; nothing is sent as long as there is no worker."""
    draft_id: int
    """Another campaign."""
    message_id: int
    """Without a campaign."""
    phone: str
    """Suppressed."""
    segment_id: int
    import_id: int
    """With a rejected row."""
    endpoint_id: int
    delivery_id: int
    """To that endpoint."""
    key_id: int
    """Beside the one that it calls with."""


async def furnish(call: Caller, admin: Caller, *, name: str, digit: int) -> Belongings:
    """Give a tenant one of everything.

    Args:
        call: the tenant's.
        admin: some admin's.
        name: in all that has a name, so that it can be told whose it is.
        digit: in all that has a number, for the same reason.
    """
    account = await _made(
        admin("POST", "/api/accounts", {**ACCOUNT, "name": name, "tenant_id": call.tenant_id})
    )
    number = f"44740000000{digit}"
    numbers = f"/api/accounts/{account['id']}/numbers"
    await _made(admin("POST", numbers, {"number": number, "tenant_id": call.tenant_id}))
    people = await _made(call("POST", "/api/lists", {"name": name}))
    person = {"phone": f"+44791112340{digit}", "first_name": name, "attributes": {"city": name}}
    contact = await _made(call("POST", "/api/contacts", person))
    members = f"/api/lists/{people['id']}/contacts"
    await _made(call("POST", members, {"contact_ids": [contact["id"]]}))
    description = {"name": name, "text": "Hi {{first_name}}", "list_id": people["id"]}
    campaign = await _made(call("POST", "/api/campaigns", description))
    await _made(call("POST", f"/api/campaigns/{campaign['id']}/enqueue"))
    described = {"name": name, "filter": f'city is "{name}"'}
    segment = await _made(call("POST", "/api/segments", described))
    draft = await _made(call("POST", "/api/campaigns", {**description, "name": f"{name} again"}))
    to = f"+44791112341{digit}"
    message = await _made(call("POST", "/api/messages", {"to": to, "text": name}))
    phone = f"+44791112342{digit}"
    await _made(call("POST", "/api/suppressions", {"phones": [phone], "reason": name}))
    file = f"phone,name\n+44791112343{digit},{name}\nno number,{name}\n"
    form = aiohttp.FormData()
    form.add_field("file", file.encode(), filename=f"{name}.csv")
    imported = await _made(call("POST", "/api/contacts/import", data=form))
    endpoint = await _made(
        call("POST", "/api/webhooks/endpoints", {"url": f"https://{name}.example.com/"})
    )
    key = await _made(call("POST", "/api/keys", {"name": name}))
    test = await _made(call("POST", f"/api/webhooks/endpoints/{endpoint['id']}/test"))
    reply = {"id": name, "from": to, "to": number, "text": name}
    inbound = urlsplit(account["inbound_url"]).path
    await _made(Caller(call.session, call.base, None)("POST", inbound, reply))
    return Belongings(
        tenant_id=call.tenant_id,
        account_id=account["id"],
        number=number,
        list_id=people["id"],
        contact_id=contact["id"],
        campaign_id=campaign["id"],
        draft_id=draft["id"],
        message_id=message["id"],
        phone=phone,
        segment_id=segment["id"],
        import_id=imported["import_id"],
        endpoint_id=endpoint["id"],
        delivery_id=test["delivery_id"],
        key_id=key["id"],
    )


async def _made(answer: Any) -> Any:
    made: Answer = await answer
    assert made.status < 300, (made.status, made.text)
    return made.json
