"""Bugs that write to people who have opted out, mix tenants up, or give a secret away."""

from __future__ import annotations

from tests.planted.bug import Bug

OPTED_OUT = "nobody who opted out"
APART = "tenants apart"
SECRET = "secrets stay secret"
_STORAGE = "src/paceline/storage"

BUGS = (
    Bug(
        name="opt_out_read_only_at_launch",
        promise=OPTED_OUT,
        harm="Whoever says STOP while a campaign runs gets its message all the same.",
        file=f"{_STORAGE}/suppressions.py",
        old=".values(opt_outs=tenants.c.opt_outs + 1)",
        new=".values(opt_outs=tenants.c.opt_outs)",
    ),
    Bug(
        name="opt_out_not_read_at_the_gate",
        promise=OPTED_OUT,
        harm="Whoever says STOP while the batch waits for its permit gets the message.",
        file=f"{_STORAGE}/intents.py",
        old="news = self.tenants[batch.tenant_id].opt_outs != batch.seen_opt_outs",
        new="news = self.tenants[batch.tenant_id].opt_outs < batch.seen_opt_outs",
    ),
    Bug(
        name="opt_outs_read_as_before_the_lock",
        promise=OPTED_OUT,
        harm="An intent that waited for an opt-out to be committed does not see it on PostgreSQL.",
        file=f"{_STORAGE}/gate.py",
        old="        tenants.c.opt_outs,\n    )\n",
        new='        select((_as := tenants.alias("as_before")).c.opt_outs)\n'
        '        .where(_as.c.id == tenants.c.id).scalar_subquery().label("opt_outs"),\n    )\n',
    ),
    Bug(
        name="wrong_person_left_out",
        promise=OPTED_OUT,
        harm="The person who opted out gets the message, and somebody else's is called sent.",
        file="src/paceline/engine/rendering.py",
        old="[self.outgoing[i] for i in kept],",
        new="self.outgoing[: len(kept)],",
    ),
    Bug(
        name="chunk_heeds_opt_outs_it_has_not_seen",
        promise=OPTED_OUT,
        harm="Whoever opts out while a chunk is written is in it, and is not looked for again.",
        file=f"{_STORAGE}/launches.py",
        old='        "seen_opt_outs": literal(opt_outs),\n',
        new='        "seen_opt_outs": select(tenants.c.opt_outs)\n'
        "        .where(tenants.c.id == campaign.tenant_id).scalar_subquery(),\n",
    ),
    Bug(
        name="single_message_heeds_opt_outs_it_has_not_seen",
        promise=OPTED_OUT,
        harm="Whoever opts out in the moment in which a message to them is queued gets it.",
        file=f"{_STORAGE}/messages.py",
        old='    opt_outs = connection.execute(_OPT_OUTS, {"tenant": tenant_id}).scalar_one()\n'
        "    suppressions.refuse(connection, tenant_id, to)\n",
        new="    suppressions.refuse(connection, tenant_id, to)\n"
        '    opt_outs = connection.execute(_OPT_OUTS, {"tenant": tenant_id}).scalar_one()\n',
    ),
    Bug(
        name="doubtful_recipient_stays_in_the_batch",
        promise=OPTED_OUT,
        harm="A person who opted out while a message to them was in doubt is in the next call.",
        file=f"{_STORAGE}/leaving_out.py",
        old="    _keep_apart_those_in_doubt(connection, batch, message_ids, at)\n",
        new="",
    ),
    Bug(
        name="repeated_start_undoes_a_stop",
        promise=OPTED_OUT,
        harm="A START that the provider posts a second time ends the STOP that came after it.",
        file="src/paceline/engine/replies.py",
        old="elif reply.keyword is not None and (is_new or reply.counts_again):",
        new="elif reply.keyword is not None:",
    ),
    Bug(
        name="opt_outs_of_all_tenants",
        promise=APART,
        harm="People who said STOP to one tenant silently get nothing from another one.",
        file=f"{_STORAGE}/opt_outs.py",
        old='                suppressions.c.tenant_id == bindparam("tenant"),\n',
        new="",
    ),
    Bug(
        name="messages_of_all_tenants",
        promise=APART,
        harm="A tenant that asks for one of its messages by another one's id reads it.",
        file=f"{_STORAGE}/messages.py",
        old="        messages.c.tenant_id == tenant_id, messages.c.id == message_id\n",
        new="        messages.c.id == message_id\n",
    ),
    Bug(
        name="single_messages_of_all_tenants_decided",
        promise=APART,
        harm="A tenant's operator has another tenant's unconfirmed message sent again.",
        file=f"{_STORAGE}/standings.py",
        old="            messages.c.tenant_id == tenant_id,\n"
        "            messages.c.campaign_id.is_(None),\n",
        new="            messages.c.campaign_id.is_(None),\n",
    ),
    Bug(
        name="account_of_another_tenant",
        promise=APART,
        harm="A tenant sends at the expense and in the name of another one.",
        file=f"{_STORAGE}/accounts.py",
        old="query = query.where(traffic_accounts.c.id == wanted)",
        new="query = select(traffic_accounts).where(traffic_accounts.c.id == wanted)",
    ),
    Bug(
        name="contacts_of_another_tenant_on_a_list",
        promise=APART,
        harm="A tenant puts another one's contact on a list, and learns its number.",
        file=f"{_STORAGE}/lists.py",
        old="                contacts.c.tenant_id == tenant_id, contacts.c.id.in_(wanted)\n",
        new="                contacts.c.id.in_(wanted)\n",
    ),
    Bug(
        name="receipts_from_any_account",
        promise=APART,
        harm="Who may post receipts of one account has messages of another one delivered.",
        file=f"{_STORAGE}/late_names.py",
        old='        attempts.c.account_id == bindparam("account"),\n',
        new="",
    ),
    Bug(
        name="references_of_another_installation",
        promise=APART,
        harm="A receipt for another installation on the same account settles a message of ours.",
        file=f"{_STORAGE}/late_names.py",
        old="if ours is None or ours[0] != prefix:",
        new="if ours is None:",
    ),
    Bug(
        name="deliveries_of_another_tenant_replayed",
        promise=APART,
        harm="A tenant has events posted again to another one's server.",
        file=f"{_STORAGE}/webhook_deliveries.py",
        old="        webhook_deliveries.c.id == delivery_id, "
        "webhook_deliveries.c.endpoint_id == endpoint_id\n",
        new="        webhook_deliveries.c.id == delivery_id\n",
    ),
    Bug(
        name="revoked_key_opens",
        promise=SECRET,
        harm="A key that was revoked because it had leaked still sends.",
        file=f"{_STORAGE}/tenants.py",
        old="            api_keys.c.hint == key.hint, api_keys.c.revoked_at.is_(None)\n",
        new="            api_keys.c.hint == key.hint\n",
    ),
    Bug(
        name="beginning_of_a_signature_is_enough",
        promise=SECRET,
        harm="Whoever signs with nothing at all has receipts believed.",
        file="src/paceline/api/webhooks.py",
        old="    return hmac.compare_digest(given.strip().lower().encode(), expected.encode())",
        new="    told = given.strip().lower().encode()\n"
        "    return hmac.compare_digest(told, expected.encode()[: len(told)])",
    ),
    Bug(
        name="key_stored_as_it_is",
        promise=SECRET,
        harm="Whoever gets hold of a backup sends at the tenant's expense.",
        file=f"{_STORAGE}/accounts.py",
        old="            **_sealed(values, sealer),\n",
        new="            **values,\n",
    ),
    Bug(
        name="tokens_in_the_log",
        promise=SECRET,
        harm="Whoever reads a log can post receipts.",
        file="src/paceline/telemetry.py",
        old='_SECRET_KEY = re.compile("key|token|secret|password|authorization", re.IGNORECASE)',
        new='_SECRET_KEY = re.compile("key|secret|password|authorization", re.IGNORECASE)',
    ),
    Bug(
        name="numbers_in_tracebacks",
        promise=SECRET,
        harm="A database error writes people's numbers into the log.",
        file="src/paceline/telemetry.py",
        old="            structlog.processors.format_exc_info,\n            mask,\n",
        new="            mask,\n            structlog.processors.format_exc_info,\n",
    ),
    Bug(
        name="webhooks_reach_our_own_network",
        promise=SECRET,
        harm="A tenant's endpoint whose name leads home has us call what only our machine can.",
        file="src/paceline/engine/posting.py",
        old="                socket_factory=self._socket_to,\n",
        new="",
    ),
)
