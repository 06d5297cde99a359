"""The recorder: is told what happened to one request, answers with the events to send.

Here lives the life of a request, stage by stage (recording), what its bodies say (answers, submitted, objects,
protobuf) and whom it acts for (impersonation). What never lives here: sockets, files, clocks of its own, or any
knowledge of who sends the events where. Its tests are tables: told → event.

It is told what goes over the wire and nothing else, so that a gateway, a middleware and a test can all tell it the
same. From there it differs from kube-apiserver, which sits behind its own decoders:

| where | kube-apiserver | here | why |
|---|---|---|---|
| requestObject (create, update) | decoded, defaulted | as submitted, compacted | no schemas; it is what was sent |
| requestObject present? | when decoding succeeded | concluded from the answer (`submitted`) | the corpus agrees |
| a patch that is not JSON | event lost (to 1.36) | YAML, CBOR → JSON, else base64 | no body takes its event down |
| protobuf bodies | converted by schema | kind, apiVersion and the bytes as base64 | the same |
| bodies past the cap | none | left out, with an annotation that says how long they were | bounded memory |
| latency annotations | all trackers | those that the door tells, and the total | we see no etcd |
"""
