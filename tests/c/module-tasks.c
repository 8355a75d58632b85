/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <gmodule.h>
#include <libmp.h>

/* Tasks in a module: what test-module.c runs. */

GVariant *module_square (MpTask *task, GVariant *argument, gpointer user_data, GError **error);
GVariant *module_fail (MpTask *task, GVariant *argument, gpointer user_data, GError **error);

G_MODULE_EXPORT GVariant *
module_square (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  gint64 number = g_variant_get_int64 (argument);

  return g_variant_new_int64 (number * number);
}

G_MODULE_EXPORT GVariant *
module_fail (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "%s is busy", mp_task_get_name (task));
  return NULL;
}
