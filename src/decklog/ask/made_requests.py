"""Made requests: the table ``requests`` from the table ``events``, in SQL, as `ask.requests.merge` makes requests.

Every end is a request, unless the end before it of the same key is the same line; what has no end is one, told by its
latest stage. Stages before the first end belong to it, those after it to nothing.
"""

from __future__ import annotations

from typing import Final

TOLD: Final = """
CREATE TABLE told AS
WITH ranked AS (
  SELECT seq, same, stage,
    CASE stage WHEN 'RequestReceived' THEN 0 WHEN 'ResponseComplete' THEN 2 WHEN 'Panic' THEN 2 ELSE 1 END AS rank,
    (stage IN ('ResponseComplete', 'Panic') OR (stage = 'ResponseStarted' AND "user" = '')) AS ended,
    hash(struct_pack(a := auditID, t := "time", v := verb, u := requestURI)) AS key
  FROM stored
),
ends AS (
  SELECT seq, stage, key, same, row_number() OVER w AS nth, lag(same) OVER w AS before FROM ranked WHERE ended
  WINDOW w AS (PARTITION BY key ORDER BY seq)
),
firsts AS (SELECT key, seq AS first_end FROM ends WHERE nth = 1),
early AS (
  SELECT ranked.*, first_end FROM ranked LEFT JOIN firsts ON ranked.key = firsts.key
  WHERE NOT ended AND (first_end IS NULL OR seq < first_end)
),
lives AS (
  SELECT key, list(stage ORDER BY rank, seq) AS stages
  FROM (SELECT key, stage, max(seq) AS seq, any_value(rank) AS rank FROM early GROUP BY key, stage)
  GROUP BY key
),
latest AS (
  SELECT seq, stage, key, nth FROM ends WHERE before IS DISTINCT FROM same
  UNION ALL
  SELECT seq, stage, key, 0 AS nth FROM early WHERE first_end IS NULL
  QUALIFY row_number() OVER (PARTITION BY key ORDER BY rank DESC, seq DESC) = 1
)
SELECT seq,
  CASE WHEN nth = 0 THEN stages
    WHEN nth = 1 AND stages IS NOT NULL THEN list_append([s FOR s IN stages IF s <> stage], stage)
    ELSE [stage] END AS stages
FROM latest LEFT JOIN lives ON latest.key = lives.key
"""
"""From ``stored`` (the columns of `ask.flat`, ``seq`` and ``same``): which events tell a request, and its stages."""

EVENTS: Final = "CREATE VIEW events AS SELECT * EXCLUDE (seq, same) FROM stored"
REQUESTS: Final = """
CREATE VIEW requests AS
SELECT stored.* EXCLUDE (seq, same), stages,
  CASE WHEN stage <> 'RequestReceived' THEN (epoch_us(stageTime) - epoch_us("time")) / 1e6 END AS durationSeconds
FROM stored JOIN told ON stored.seq = told.seq
"""
