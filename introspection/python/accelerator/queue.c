/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Queue: putting and taking of bytes, without waiting. Who waits has time for a
 * call through introspection. */

#include "accelerator.h"

/* Longer messages are copied without the interpreter's lock. */
#define LONG (32 * 1024)

static PyObject *
queue_attach (PyObject *self, PyObject *wrapper)
{
  return accelerator_attach (self, wrapper, MP_TYPE_QUEUE);
}

static gboolean
put (gpointer queue, const Py_buffer *data, guint codec, GError **error)
{
  PyThreadState *state = data->len < LONG ? NULL : PyEval_SaveThread ();
  gboolean done = mp_queue_put_payload (queue, data->buf, (gsize) data->len, codec, 0, NULL, error);

  if (state != NULL)
    PyEval_RestoreThread (state);
  return done;
}

static PyObject *
queue_try_put (PyObject *self, PyObject *const *args, Py_ssize_t n)
{
  gpointer queue = accelerator_peek (self);
  GError *error = NULL;
  Py_buffer data;
  gboolean done;
  long codec;

  if (queue == NULL)
    return accelerator_complain (self);
  if (n != 2)
    {
      PyErr_Format (PyExc_TypeError, "_try_put() takes 2 arguments (%zd given)", n);
      return NULL;
    }
  codec = PyLong_AsLong (args[1]);
  if (codec == -1 && PyErr_Occurred () != NULL)
    return NULL;
  if (codec < 0 || codec > MP_CODEC_JSON)
    {
      PyErr_Format (PyExc_ValueError, "there is no codec %ld", codec);
      return NULL;
    }
  if (PyObject_GetBuffer (args[0], &data, PyBUF_SIMPLE) != 0)
    return NULL;
  done = put (queue, &data, (guint) codec, &error);
  PyBuffer_Release (&data);
  if (done)
    Py_RETURN_TRUE;
  if (!g_error_matches (error, MP_ERROR, MP_ERROR_FULL))
    {
      PyObject *type = g_error_matches (error, MP_ERROR, MP_ERROR_CLOSED)  ? PyExc_ValueError
                       : g_error_matches (error, MP_ERROR, MP_ERROR_LIMIT) ? PyExc_MemoryError
                                                                           : PyExc_OSError;

      PyErr_SetString (type, error->message);
      g_error_free (error);
      return NULL;
    }
  g_error_free (error);
  Py_RETURN_FALSE;
}

static PyObject *
queue_try_get (PyObject *self, PyObject *nothing)
{
  gpointer queue = accelerator_peek (self);
  const guint8 *data;
  gsize length;
  int codec;

  if (queue == NULL)
    return accelerator_complain (self);
  data = mp_queue_try_get_payload (queue, &length, &codec);
  return Py_BuildValue ("(y#i)",
                        data != NULL ? (const char *) data : "",
                        (Py_ssize_t) length,
                        codec);
}

static PyMethodDef methods[] = {
  { "_attach", queue_attach, METH_O, "Makes it stand for a GObject." },
  { "_try_put",
    (PyCFunction) (void *) queue_try_put,
    METH_FASTCALL,
    "_try_put(data, codec): puts a message; False if there is no room." },
  { "_try_get", queue_try_get, METH_NOARGS, "_try_get(): (data, codec) of the next message." },
  { NULL, NULL, 0, NULL },
};

static PyGetSetDef getters[] = {
  { "gobject", accelerator_get_gobject, NULL, "The introspected object behind it.", NULL },
  { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
  { Py_tp_methods, methods },
  { Py_tp_getset, getters },
  { Py_tp_dealloc, accelerator_dealloc },
  { Py_tp_traverse, accelerator_traverse },
  { 0, NULL },
};

static PyType_Spec spec = { "_multiprocessing_gi.Queue",
                            sizeof (AcceleratorObject),
                            0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                            slots };

gboolean
accelerator_add_queue (PyObject *module)
{
  return accelerator_add_type (module, "Queue", &spec);
}
