"""The policy room: decides what to record of a request. Attributes in, Decision out.

Here live the policy's values (`rules`), the way from a file to them (`reader`, over `audit.documents`, with
`json_tree`, `schema`, `binding`, `identity`, `validate`, `wording` as its steps), and two ways from a request to a
Decision: `matching`, which can be read aloud, and `evaluator`, which is fast; a property test holds them equal. What
never lives here: sockets, events, clocks. The one file that is opened is the policy's own, in `reader.load`.
"""
