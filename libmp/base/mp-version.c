/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-version.h"

/**
 * mp_get_major_version:
 *
 * The major version of the library that is in use, which may be newer than
 * the headers the program was compiled against.
 *
 * Returns: the major version
 *
 * Since: 0.1
 */
guint
mp_get_major_version (void)
{
  return MP_MAJOR_VERSION;
}

/**
 * mp_get_minor_version:
 *
 * The minor version of the library that is in use.
 *
 * Returns: the minor version
 *
 * Since: 0.1
 */
guint
mp_get_minor_version (void)
{
  return MP_MINOR_VERSION;
}

/**
 * mp_get_micro_version:
 *
 * The micro version of the library that is in use.
 *
 * Returns: the micro version
 *
 * Since: 0.1
 */
guint
mp_get_micro_version (void)
{
  return MP_MICRO_VERSION;
}
