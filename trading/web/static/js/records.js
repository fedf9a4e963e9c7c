// The records that the socket brings, by topic: the newest state of each, in the order of first sight.

const KEPT = 1500;
const TELL_MS = 100;

/** Records of all topics; listeners are called a moment after a change, once for many changes. */
export class Records {
	#topics = new Map();
	#changed = new Set();
	#listeners = [];
	#timer = 0;

	/** Call a function with the set of topics that changed. */
	onChange(listener) {
		this.#listeners.push(listener);
	}

	#topic(name) {
		let found = this.#topics.get(name);
		if (found === undefined) {
			found = { items: new Map(), older: null };
			this.#topics.set(name, found);
		}
		return found;
	}

	#tell(topic) {
		this.#changed.add(topic);
		if (this.#timer !== 0) return;
		this.#timer = setTimeout(() => {
			const changed = new Set(this.#changed);
			this.#timer = 0;
			this.#changed.clear();
			for (const listener of this.#listeners) listener(changed);
		}, TELL_MS);
	}

	/** Take the place of all records of a topic; `items` are newest first, as the server sends them. */
	replace(topic, items) {
		const found = this.#topic(topic);
		found.items = new Map([...items].reverse().map((item) => [item.id, item]));
		found.older = null;
		this.#tell(topic);
	}

	/** Take a new record, or a newer state of a known one. */
	take(topic, item) {
		const { items } = this.#topic(topic);
		const known = items.get(item.id);
		if (known !== undefined && known.version > item.version) return;
		items.set(item.id, item);
		if (items.size > KEPT) items.delete(items.keys().next().value);
		this.#tell(topic);
	}

	/** Add a page of older records; `cursor` leads to still older ones and is "" at their end. */
	addOlder(topic, items, cursor) {
		const found = this.#topic(topic);
		const older = items.filter((item) => !found.items.has(item.id)).reverse();
		found.items = new Map([...older.map((item) => [item.id, item]), ...found.items]);
		found.older = cursor;
		this.#tell(topic);
	}

	/** Where older records begin: null while none were asked for, "" where there are none. */
	olderOf(topic) {
		return this.#topic(topic).older;
	}

	/** The records of a topic that a condition takes, newest first. */
	of(topic, takes = () => true) {
		return [...this.#topic(topic).items.values()].filter(takes).reverse();
	}

	/** Forget everything. */
	clear() {
		for (const topic of this.#topics.keys()) this.replace(topic, []);
	}
}

const FINISHED = new Set(["DENIED", "REJECTED", "CANCELED", "EXPIRED", "FILLED"]);

/** Whether an order still works. */
export const isOpen = (order) => !FINISHED.has(order.status);
