"""Assembling: how the gateway is put together; a part of the bridge, beside `decklog.assembly`.

`gateway` is what the supervisor holds, `worker` what each worker serves with, `reloading` how a policy takes another's
place while both run. What never lives here: anything that one part could do by itself.
"""
