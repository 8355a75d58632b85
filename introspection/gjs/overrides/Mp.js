// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

/* exported _init */

// libmp for GJS: promises for what is asynchronous, and pools that take and give
// the values of JavaScript. docs/gjs.md says what becomes of which value.

const {GLib, Gio} = imports.gi;

const MAX_DEPTH = 60;
const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;
const MAX_UINT64 = 2n ** 64n - 1n;

let Mp;

function typeError(text) {
    return new GLib.Error(Mp.Error, Mp.Error.TYPE, text);
}

function packString(value) {
    // Without the u flag, each half of a pair is a character of its own.
    if (value.includes('\0') || /\p{Surrogate}/u.test(value))
        throw typeError('a string with a NUL character or a lone surrogate has no GVariant form');
    return new GLib.Variant('s', value);
}

function packNumber(value) {
    if (Number.isSafeInteger(value) && !Object.is(value, -0))
        return GLib.Variant.new_int64(value);
    return GLib.Variant.new_double(value);
}

function packBigInt(value) {
    if (value >= MIN_INT64 && value <= MAX_INT64)
        return GLib.Variant.new_int64(value);
    if (value > 0 && value <= MAX_UINT64)
        return GLib.Variant.new_uint64(value);
    throw typeError(`${value} is beyond 64 bits`);
}

function boxed(items) {
    return items.map(item => GLib.Variant.new_variant(item));
}

function packArray(values, depth) {
    return GLib.Variant.new_array(new GLib.VariantType('v'),
        boxed(values.map(value => pack(value, depth + 1))));
}

function packEntries(entries, keyType, packKey, depth) {
    const type = new GLib.VariantType(`{${keyType}v}`);

    return GLib.Variant.new_array(type, entries.map(([key, value]) =>
        GLib.Variant.new_dict_entry(packKey(key),
            GLib.Variant.new_variant(pack(value, depth + 1)))));
}

function packMap(map, depth) {
    const entries = [...map];

    if (entries.every(([key]) => typeof key === 'string'))
        return packEntries(entries, 's', packString, depth);
    if (entries.every(([key]) => Number.isSafeInteger(key)))
        return packEntries(entries, 'x', key => GLib.Variant.new_int64(key), depth);
    throw typeError('the keys of a Map have to be strings, or all of them integers');
}

function packObject(value, depth) {
    if (value instanceof GLib.Variant)
        return GLib.Variant.new_variant(value);
    if (value instanceof Uint8Array)
        return GLib.Variant.new_from_bytes(new GLib.VariantType('ay'), new GLib.Bytes(value), true);
    if (value instanceof GLib.Bytes)
        return GLib.Variant.new_from_bytes(new GLib.VariantType('ay'), value, true);
    if (depth >= MAX_DEPTH)
        throw typeError(`more than ${MAX_DEPTH} containers inside each other`);
    if (Array.isArray(value))
        return packArray(value, depth);
    if (value instanceof Set)
        return packArray([...value], depth);
    if (value instanceof Map)
        return packMap(value, depth);

    const prototype = Object.getPrototypeOf(value);
    // A module has an Object of its own.
    if (prototype === null || Object.getPrototypeOf(prototype) === null)
        return packEntries(Object.entries(value), 's', packString, depth);
    throw typeError(`an object of ${value.constructor?.name ?? 'some class'} has no GVariant form`);
}

function pack(value, depth = 0) {
    switch (typeof value) {
    case 'undefined':
        return GLib.Variant.new_signature('');
    case 'boolean':
        return GLib.Variant.new_boolean(value);
    case 'number':
        return packNumber(value);
    case 'bigint':
        return packBigInt(value);
    case 'string':
        return packString(value);
    case 'object':
        return value === null ? GLib.Variant.new_signature('') : packObject(value, depth);
    default:
        throw typeError(`a ${typeof value} has no GVariant form`);
    }
}

function children(variant) {
    return Array.from({length: variant.n_children()}, (_, i) => variant.get_child_value(i));
}

function unpackDictionary(variant, type) {
    const entries = children(variant).map(entry =>
        [unpack(entry.get_child_value(0)), unpack(entry.get_child_value(1))]);

    return 'sog'.includes(type[2]) ? Object.fromEntries(entries) : new Map(entries);
}

function unpackInt64(variant) {
    const exact = BigInt(variant.print(false));
    const value = Number(exact);

    return Number.isSafeInteger(value) ? value : exact;
}

function unpack(variant) {
    const type = variant.get_type_string();

    switch (type[0]) {
    case 'x':
    case 't':
        return unpackInt64(variant);
    case 'g':
        return variant.get_string()[0] || null;
    case 'v':
        return unpack(variant.get_variant());
    case 'm': {
        const inside = variant.get_maybe();
        return inside === null ? null : unpack(inside);
    }
    case 'a':
        if (type === 'ay')
            return variant.get_data_as_bytes().toArray();
        if (type[1] === '{')
            return unpackDictionary(variant, type);
        return children(variant).map(unpack);
    case '(':
    case '{':
        return children(variant).map(unpack);
    default:
        return variant.deepUnpack();
    }
}

function packItems(items) {
    return items instanceof GLib.Variant ? items : packArray([...items], 0);
}

function packArgument(value) {
    return value === undefined || value instanceof GLib.Variant ? value ?? null : pack(value);
}

async function resultOf(job, cancellable) {
    try {
        await job.wait_async(cancellable ?? null);
    } catch (error) {
        job.cancel();
        throw error;
    }
    return unpack(job.get_result());
}

// Given GVariants, the methods of a pool are those of C, and block.
function extendPool(prototype) {
    const {
        apply, map, starmap, submit, submit_map: submitMap, submit_starmap: submitStarmap,
        imap, imap_unordered: imapUnordered,
    } = prototype;

    prototype.apply = function (name, argument, ...rest) {
        if (argument instanceof GLib.Variant || rest.length > 1)
            return apply.call(this, name, argument, ...rest);
        return resultOf(this.submit(name, argument), rest[0]?.cancellable);
    };
    prototype.map = function (name, items, ...rest) {
        if (items instanceof GLib.Variant)
            return map.call(this, name, items, ...rest);
        const {chunkSize = 0, cancellable = null} = rest[0] ?? {};
        return resultOf(this.submit_map(name, items, chunkSize), cancellable);
    };
    prototype.starmap = function (name, items, ...rest) {
        if (items instanceof GLib.Variant)
            return starmap.call(this, name, items, ...rest);
        const {chunkSize = 0, cancellable = null} = rest[0] ?? {};
        return resultOf(this.submit_starmap(name, items, chunkSize), cancellable);
    };
    prototype.submit = function (name, argument, options = null) {
        return submit.call(this, name, packArgument(argument), options);
    };
    prototype.submit_map = function (name, items, chunkSize = 0, options = null) {
        return submitMap.call(this, name, packItems(items), chunkSize, options);
    };
    prototype.submit_starmap = function (name, items, chunkSize = 0, options = null) {
        return submitStarmap.call(this, name, packItems(items), chunkSize, options);
    };
    prototype.imap = function (name, items, chunkSize = 0, options = null) {
        return imap.call(this, name, packItems(items), chunkSize, options);
    };
    prototype.imap_unordered = function (name, items, chunkSize = 0, options = null) {
        return imapUnordered.call(this, name, packItems(items), chunkSize, options);
    };
}

function _init() {
    Mp = this;
    Mp.pack = value => pack(value);
    Mp.unpack = unpack;

    for (const [type, ...methods] of [
        [Mp.Connection, 'send', 'send_bytes', 'recv', 'recv_bytes'],
        [Mp.Event, 'wait'],
        [Mp.Job, 'wait', 'next'],
        [Mp.Listener, 'accept'],
        [Mp.Lock, 'acquire'],
        [Mp.Pool, 'apply', 'map', 'join'],
        [Mp.Process, 'join'],
        [Mp.Queue, 'put', 'get', 'put_with_fds', 'get_with_fds', 'put_shareable', 'get_shareable',
            'get_leased', 'join'],
        [Mp.Semaphore, 'acquire'],
    ]) {
        for (const method of methods)
            Gio._promisify(type.prototype, `${method}_async`, `${method}_finish`);
    }
    for (const method of ['open', 'open_tls'])
        Gio._promisify(Mp.Connection, `${method}_async`, `${method}_finish`);

    extendPool(Mp.Pool.prototype);
    Mp.Job.prototype[Symbol.asyncIterator] = async function* () {
        for (;;) {
            const result = await this.next_async(null);
            if (result === null)
                return;
            yield unpack(result);
        }
    };
}
