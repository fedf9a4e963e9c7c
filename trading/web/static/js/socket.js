// The socket: subscriptions that survive cuts. Events go on where each topic stood, without gap or repeat.

const RETRY_MS = [300, 600, 1200, 2500, 5000];
const SILENT_MS = 6000;

/**
 * A connection that is made again for as long as it is open.
 *
 * `handlers` has: event(message), snapshot(topic, items), reset(topic), values(items),
 * state("connecting" | "open" | "lost", detail), heartbeat(message), ended().
 */
export class DeskSocket {
	#handlers;
	#socket = null;
	#topics = new Map();
	#positions = new Map();
	#subscribed = new Set();
	#ids = new Map();
	#listeners = new Map();
	#number = 0;
	#tries = 0;
	#timer = 0;
	#wanted = false;
	#heard = 0;

	constructor(handlers) {
		this.#handlers = handlers;
		setInterval(() => this.#watch(), 500);
		addEventListener("online", () => this.retry());
	}

	/** Connect, and stay connected. */
	open() {
		this.#wanted = true;
		this.#tries = 0;
		this.#connect();
	}

	/** Close; positions are kept, so that the next `open` goes on. */
	close() {
		this.#wanted = false;
		clearTimeout(this.#timer);
		this.#drop();
	}

	/** Forget everything, as for another user. */
	forget() {
		this.close();
		this.#topics.clear();
		this.#positions.clear();
	}

	/** Try at once instead of waiting. */
	retry() {
		if (this.#wanted && this.#socket === null) this.#connect();
	}

	/** Follow a topic of events from a snapshot on. */
	followEvents(topic) {
		this.#topics.set(topic, {});
		this.#ask("subscribe", topic);
	}

	/** Follow values; another call with the same topic takes the place of the earlier one. */
	followValues(topic, more) {
		const known = this.#topics.get(topic);
		if (known !== undefined && JSON.stringify(known) === JSON.stringify(more)) return;
		this.#topics.set(topic, more);
		this.#ask("subscribe", topic);
	}

	/** Follow a topic with a listener of its own, which gets each message of it as it is. */
	follow(topic, listener) {
		this.#listeners.set(topic, listener);
		if (!this.#topics.has(topic)) this.followValues(topic, {});
	}

	/** Follow a topic no longer. */
	unfollow(topic) {
		this.#listeners.delete(topic);
		if (!this.#topics.delete(topic)) return;
		this.#positions.delete(topic);
		this.#subscribed.delete(topic);
		this.#ask("unsubscribe", topic);
	}

	#ask(op, topic) {
		if (this.#socket?.readyState !== WebSocket.OPEN) return;
		this.#number += 1;
		this.#ids.set(this.#number, topic);
		const after = this.#positions.get(topic);
		const message = { op, id: this.#number, topic, ...this.#topics.get(topic) };
		if (op === "subscribe" && after !== undefined) message.after = after;
		this.#socket.send(JSON.stringify(message));
	}

	#connect() {
		clearTimeout(this.#timer);
		this.#drop();
		this.#handlers.state("connecting", "");
		const scheme = location.protocol === "https:" ? "wss" : "ws";
		const socket = new WebSocket(`${scheme}://${location.host}/ws`);
		this.#socket = socket;
		this.#heard = Date.now();
		socket.onopen = () => {
			this.#subscribed.clear();
			this.#ids.clear();
			for (const topic of this.#topics.keys()) this.#ask("subscribe", topic);
		};
		socket.onmessage = (event) => {
			if (this.#socket === socket) this.#take(JSON.parse(event.data));
		};
		socket.onclose = (event) => {
			if (this.#socket === socket) this.#lost(event.code, event.reason);
		};
	}

	#drop() {
		const socket = this.#socket;
		this.#socket = null;
		this.#subscribed.clear();
		if (socket !== null) {
			socket.onopen = socket.onmessage = socket.onclose = null;
			socket.close();
		}
	}

	#lost(code, reason) {
		this.#drop();
		if (code === 4001) {
			this.#wanted = false;
			this.#handlers.ended();
			return;
		}
		if (!this.#wanted) return;
		const wait = code === 4013 ? 10000 : RETRY_MS[Math.min(this.#tries, RETRY_MS.length - 1)];
		this.#tries += 1;
		this.#handlers.state("lost", reason);
		this.#timer = setTimeout(() => this.#connect(), wait);
	}

	#watch() {
		if (this.#socket !== null && Date.now() - this.#heard > SILENT_MS) {
			this.#lost(0, `nothing was heard for ${SILENT_MS / 1000} s`);
		}
	}

	#take(message) {
		this.#heard = Date.now();
		const handlers = this.#handlers;
		// On its way when the page stopped following the topic.
		if (message.topic !== undefined && !this.#topics.has(message.topic)) return;
		const own = this.#listeners.get(message.topic ?? this.#ids.get(message.id));
		if (own !== undefined) {
			own(message);
			return;
		}
		switch (message.type) {
			case "hello":
				this.#tries = 0;
				handlers.state("open", "");
				break;
			case "batch":
				handlers.values(message.items);
				break;
			case "heartbeat":
				for (const topic of this.#subscribed) this.#positions.set(topic, message.position);
				handlers.heartbeat(message);
				break;
			case "subscribed":
				if (message.position) {
					this.#subscribed.add(message.topic);
					this.#positions.set(message.topic, message.position);
				}
				break;
			case "snapshot":
				this.#positions.set(message.topic, message.position);
				handlers.snapshot(message.topic, message.items);
				break;
			case "reset":
				this.#positions.delete(message.topic);
				handlers.reset(message.topic);
				break;
			case "error":
				handlers.problem(this.#ids.get(message.id) ?? "", message.detail);
				break;
			default:
				if (message.item === undefined) break;
				this.#positions.set(message.topic, message.position);
				handlers.event(message);
		}
	}
}
