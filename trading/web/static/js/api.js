// Requests to the API of the server that the page came from.

/** What the API said against a request, with the fields of its problem. */
export class Problem extends Error {
	constructor(status, body) {
		super(body.detail || body.title || `the server answered ${status}`);
		this.status = status;
		this.code = body.code ?? "";
		this.body = body;
	}

	/** Whether it is unknown if the command was carried out: give it again under the same key. */
	get isOpen() {
		return this.status === 0 || this.status === 503 || this.status === 504;
	}
}

export const session = { csrf: "", user: "", accounts: [], expires: "" };
let whenEnded = () => {};

/** Call a function when the server says that the session has ended. */
export const onSessionEnd = (callback) => {
	whenEnded = callback;
};

async function send(method, path, body, key, waitMs = 20_000) {
	const headers = { Accept: "application/json" };
	if (method !== "GET") headers["X-CSRF-Token"] = session.csrf;
	if (body !== undefined) headers["Content-Type"] = "application/json";
	if (key !== undefined) headers["Idempotency-Key"] = key;
	let answer;
	try {
		answer = await fetch(path, {
			method, headers, credentials: "same-origin", cache: "no-store",
			body: body === undefined ? undefined : JSON.stringify(body),
			signal: AbortSignal.timeout(waitMs),
		});
	} catch (error) {
		const detail = error.name === "TimeoutError" ? `no answer came within ${waitMs / 1000} s; ask again`
			: "the server does not answer; is it running?";
		throw new Problem(0, { code: "NO_CONNECTION", detail });
	}
	const text = await answer.text();
	let found = {};
	try {
		found = text === "" ? {} : JSON.parse(text);
	} catch {
		found = { detail: `the server answered ${answer.status}` };
	}
	if (answer.ok) return found;
	if (answer.status === 401 && path !== "/user/login") whenEnded();
	throw new Problem(answer.status, found);
}

/** How long to wait for what reads all that a run was told. */
export const LONG_MS = 180_000;

/** Ask; `query` values that are null are left out. */
export function get(path, query = {}, waitMs = undefined) {
	const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
	const text = new URLSearchParams(given).toString();
	return send("GET", text === "" ? path : `${path}?${text}`, undefined, undefined, waitMs);
}

/** A key under which a command is carried out once, however often it is given. */
export const newKey = () => `page-${Date.now()}-${Math.random().toString(36).slice(2, 10)}`;

/** Give a command. */
export const command = (method, path, body, key = newKey(), waitMs = undefined) => send(method, path, body, key, waitMs);

export const pathOfOrder = (id) => `/orders/${encodeURIComponent(id)}`;

/** Take the session over that the browser has; Problem 401 where it has none. */
export async function loadSession() {
	take(await get("/session"));
}

/** Log in by password. */
export async function logIn(user, password) {
	take(await send("POST", "/user/login", { user, password, cookie: true }));
}

function take(found) {
	session.csrf = found.csrf_token;
	session.user = found.user;
	session.accounts = found.accounts;
	session.expires = found.expires_at;
}
