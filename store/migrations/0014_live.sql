-- The live runs of a namespace, in the order in which readers list them. Building the index locks kontroler.runs, for
-- about a second a million runs.
-- oldest-compatible: 1

-- Without it the planner may combine runs_live with an index that has all runs of the namespace.
CREATE INDEX runs_live_by_namespace ON kontroler.runs (namespace, admitted_at, id) WHERE phase IN ('Pending', 'Running');
