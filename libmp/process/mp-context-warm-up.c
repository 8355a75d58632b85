/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-context-private.h"

#include "mp-bootstrap-private.h"
#include "mp-spawn-private.h"
#include "mp-wait-private.h"
#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

gboolean
mp_context_config_get_task_kind (const MpContextConfig *config, MpZygoteKind *kind, GError **error)
{
  if (config->runtime == MP_RUNTIME_NATIVE)
    *kind = MP_ZYGOTE_SELF;
  else if (config->runtime == MP_RUNTIME_COMMAND || config->start_method == MP_START_METHOD_SPAWN)
    *kind = MP_ZYGOTE_HELPER;
  else if (config->start_method == MP_START_METHOD_FORKSERVER)
    *kind = config->runtime == MP_RUNTIME_PYTHON ? MP_ZYGOTE_PYTHON
            : config->runtime == MP_RUNTIME_GJS  ? MP_ZYGOTE_GJS
                                                 : MP_ZYGOTE_HELPER;
  else
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           config->runtime == MP_RUNTIME_PYTHON
                             ? "Only Python itself can fork a process that runs Python"
                             : "The start method fork is for tasks of this program and of Python");
      return FALSE;
    }
  return mp_spawn_check_interpreter (config->runtime,
                                     (const char *const *) config->interpreter,
                                     error);
}

/* Shared by the waiting thread, which may give up, and the pump. */
typedef struct
{
  _Atomic uint32_t changes;
  int done; /* atomic */
  GError *error;
} WarmUp;

static void
warm_up_clear (gpointer data)
{
  g_clear_error (&((WarmUp *) data)->error);
}

static void
warm_up_unref (gpointer data)
{
  g_atomic_rc_box_release_full (data, warm_up_clear);
}

static void
warm_up_ready_cb (const GError *error, gpointer user_data)
{
  WarmUp *warm_up = user_data;

  warm_up->error = error != NULL ? g_error_copy (error) : NULL;
  g_atomic_int_set (&warm_up->done, TRUE);
  mp_wait_word_bump (&warm_up->changes);
}

static gboolean
warm_up_is_done (gpointer data)
{
  return g_atomic_int_get (&((WarmUp *) data)->done);
}

/**
 * mp_context_warm_up:
 * @self: a context
 * @cancellable: (nullable): to stop waiting
 * @error: return location for an error
 *
 * Starts the zygote, unless it runs, and waits until it is ready, so that the
 * first process starts as quickly as the others.
 *
 * With %MP_START_METHOD_FORK and native tasks there is no zygote and nothing
 * to do. Cancelling ends the waiting; the zygote may get ready all the same.
 *
 * It blocks the calling thread: for milliseconds with native code, for as long
 * as the imports take with an interpreter.
 *
 * Returns: TRUE when it is ready; FALSE with %MP_ERROR_NOT_BOOTSTRAPPED,
 *   %MP_ERROR_NOT_FOUND when the interpreter or the helper is not there, another
 *   error of that domain, or %G_IO_ERROR_CANCELLED
 *
 * Since: 0.1
 */
gboolean
mp_context_warm_up (MpContext *self, GCancellable *cancellable, GError **error)
{
  g_auto (MpContextConfig) config = { 0 };
  g_autoptr (MpZygoteLink) link = NULL;
  MpZygoteKind kind;
  WarmUp *warm_up;
  gboolean ready;

  g_return_val_if_fail (MP_IS_CONTEXT (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  mp_context_get_config (self, &config);
  if (config.runtime == MP_RUNTIME_NATIVE && config.start_method == MP_START_METHOD_FORK)
    return mp_bootstrap_check (FALSE, error);
  if (!mp_context_config_get_task_kind (&config, &kind, error))
    return FALSE;
  link = mp_context_ref_link (self, &config, kind, error);
  if (link == NULL)
    return FALSE;

  warm_up = g_atomic_rc_box_new0 (WarmUp);
  mp_zygote_link_warm_up (link, warm_up_ready_cb, g_atomic_rc_box_acquire (warm_up), warm_up_unref);
  if (mp_wait_word (&warm_up->changes,
                    warm_up_is_done,
                    warm_up,
                    MP_DEADLINE_NEVER,
                    FALSE,
                    cancellable) == MP_WAIT_CANCELLED)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "Operation was cancelled");
      ready = FALSE;
    }
  else
    {
      ready = warm_up->error == NULL;
      if (!ready)
        g_propagate_error (error, g_error_copy (warm_up->error));
    }
  warm_up_unref (warm_up);
  return ready;
}
