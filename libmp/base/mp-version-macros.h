/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <glib.h>

#ifndef _MP_EXTERN
#define _MP_EXTERN __attribute__ ((visibility ("default"))) extern
#endif

/**
 * MP_VERSION_0_1:
 *
 * The encoded version 0.1, for MP_VERSION_MIN_REQUIRED and MP_VERSION_MAX_ALLOWED.
 *
 * Since: 0.1
 */
#define MP_VERSION_0_1 (G_ENCODE_VERSION (0, 1))

#ifndef MP_VERSION_MIN_REQUIRED
#define MP_VERSION_MIN_REQUIRED MP_VERSION_0_1
#endif
#ifndef MP_VERSION_MAX_ALLOWED
#define MP_VERSION_MAX_ALLOWED MP_VERSION_0_1
#endif
#if MP_VERSION_MAX_ALLOWED < MP_VERSION_MIN_REQUIRED
#error "MP_VERSION_MAX_ALLOWED must not be below MP_VERSION_MIN_REQUIRED"
#endif

#define MP_AVAILABLE_IN_ALL _MP_EXTERN
#define MP_AVAILABLE_IN_0_1 _MP_EXTERN
