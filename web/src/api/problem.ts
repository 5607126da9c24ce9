import { text } from "../text";

/** Fault is a fault in the body of a request, at a JSON pointer. */
export interface Fault {
  pointer: string;
  /** The line of a manifest in YAML, from 1. */
  line?: number;
  detail: string;
}

/** ProblemBody is an error as the server describes it (RFC 9457). */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail?: string;
  requestId?: string;
  errors?: Fault[];
}

/** Kind is the last part of the type of a problem, or what happened if no problem arrived. */
export type Kind =
  | "bad-request" | "unauthenticated" | "forbidden" | "cross-origin" | "not-found" | "method-not-allowed" | "conflict"
  | "precondition-failed" | "too-large" | "unsupported-media-type" | "invalid" | "precondition-required"
  | "too-many-requests" | "internal" | "unavailable" | "unreachable" | "unexpected";

/** Problem is a request that failed. */
export class Problem extends Error {
  readonly kind: Kind;
  /** The HTTP status. It is 0 if no answer arrived. */
  readonly status: number;
  readonly detail: string;
  readonly requestId: string;
  readonly faults: Fault[];
  /** How long the server asks to wait, in milliseconds. */
  readonly retryAfter: number | undefined;
  /** An earlier try of the same start may have been done, and nobody has looked. */
  isOfOpenStart = false;

  constructor(kind: Kind, body: Partial<ProblemBody>, retryAfter?: number) {
    super(body.title ?? text.problem.title(kind));
    this.name = "Problem";
    this.kind = kind;
    this.status = body.status ?? 0;
    this.detail = body.detail ?? "";
    this.requestId = body.requestId ?? "";
    this.faults = body.errors ?? [];
    this.retryAfter = retryAfter;
  }

  /**
   * It is true if nobody knows whether the request was done: no answer arrived, the server failed or could not confirm
   * it, something else answered in its place, or an earlier try is open.
   */
  get isOutcomeUnknown(): boolean {
    return this.isOfOpenStart || this.status >= 500 || this.kind === "unreachable" || this.kind === "unexpected";
  }
}

/** problemOf reads the problem out of an answer that is not a success. Proxies answer with pages that are no problems. */
export async function problemOf(response: Response): Promise<Problem> {
  const retryAfter = seconds(response.headers.get("Retry-After"));
  const kindOfStatus: Kind =
    response.status === 401 ? "unauthenticated" : response.status === 404 ? "not-found"
    : [502, 503, 504].includes(response.status) ? "unavailable" : "unexpected";
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return new Problem(kindOfStatus, { status: response.status }, retryAfter);
  }
  try {
    const body = (await response.json()) as ProblemBody;
    return new Problem((body.type.split(":").pop() ?? kindOfStatus) as Kind, body, retryAfter);
  } catch {
    return new Problem(kindOfStatus, { status: response.status }, retryAfter);
  }
}

function seconds(header: string | null): number | undefined {
  const value = Number(header);
  return header !== null && Number.isFinite(value) ? value * 1000 : undefined;
}
