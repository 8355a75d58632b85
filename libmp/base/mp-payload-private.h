/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-enums.h"

G_BEGIN_DECLS

/* The serialised form of a variant of type v that holds @value (consumed when
 * floating), which is what MP_CODEC_GVARIANT stands for. The bytes are 8-aligned. */
GBytes *mp_payload_from_variant (GVariant *value);

/* The same in a buffer of the caller's: how many bytes it takes, and that many bytes. */
gsize mp_payload_measure (GVariant *value);
void mp_payload_store (GVariant *value, guint8 *payload);

/* Whether @data, which is 8-aligned, is the serialised form of a v that is in normal form. */
gboolean mp_payload_is_normal (const guint8 *data, gsize length);

/* The value behind a payload, a full reference that is not floating:
 * MP_CODEC_GVARIANT gives the value, MP_CODEC_RAW an ay, MP_CODEC_JSON an s;
 * MP_CODEC_PICKLE and MP_CODEC_PICKLE_BUFFERS are MP_ERROR_NOT_SUPPORTED and bytes that are no
 * serialised variant are MP_ERROR_CORRUPT; deep inside a big one (4 KiB) of few elements, what is
 * not in normal form may instead read as default values. Copies. */
GVariant *mp_payload_to_variant (const guint8 *data, gsize length, MpCodec codec, GError **error);
/* The same; the value may keep @bytes. */
GVariant *mp_payload_bytes_to_variant (GBytes *bytes, MpCodec codec, GError **error);
/* The same, if others may write @bytes meanwhile: what that could break is copied first. */
GVariant *mp_payload_shared_to_variant (GBytes *bytes, MpCodec codec, GError **error);

G_END_DECLS
