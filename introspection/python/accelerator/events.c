/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Event. Conditions and barriers put threads to sleep whatever happens, beside
 * which a call through introspection does not count. */

#include "accelerator.h"

static PyObject *
event_attach (PyObject *self, PyObject *wrapper)
{
  return accelerator_attach (self, wrapper, MP_TYPE_EVENT);
}

static PyObject *
event_is_set (PyObject *self, PyObject *nothing)
{
  gpointer event = accelerator_peek (self);

  if (event == NULL)
    return accelerator_complain (self);
  return PyBool_FromLong (mp_event_get_is_set (event));
}

static PyObject *
event_set (PyObject *self, PyObject *nothing)
{
  gpointer event = accelerator_peek (self);

  if (event == NULL)
    return accelerator_complain (self);
  mp_event_set (event);
  Py_RETURN_NONE;
}

static PyObject *
event_clear (PyObject *self, PyObject *nothing)
{
  gpointer event = accelerator_peek (self);

  if (event == NULL)
    return accelerator_complain (self);
  mp_event_clear (event);
  Py_RETURN_NONE;
}

static int
wait_for_event (gpointer gobject, gint64 timeout_us)
{
  return mp_event_wait_interruptible (gobject, timeout_us);
}

static PyObject *
event_wait (PyObject *self, PyObject *args, PyObject *keywords)
{
  static char timeout_name[] = "timeout";
  static char *names[] = { timeout_name, NULL };
  gpointer event = accelerator_peek (self);
  PyObject *timeout = NULL;
  gint64 deadline;
  int result;

  if (event == NULL)
    return accelerator_complain (self);
  if (!PyArg_ParseTupleAndKeywords (args, keywords, "|O:wait", names, &timeout) ||
      !accelerator_parse_timeout (timeout, &deadline))
    return NULL;
  if (mp_event_get_is_set (event))
    Py_RETURN_TRUE;
  result = accelerator_wait (event, wait_for_event, deadline);
  /* Else the next wait would be the rest of this one. */
  if (result < 0)
    mp_event_stop_waiting (event);
  return result < 0 ? NULL : PyBool_FromLong (result);
}

static PyMethodDef methods[] = {
  { "_attach", event_attach, METH_O, "Makes it stand for a GObject." },
  { "is_set", event_is_set, METH_NOARGS, "is_set($self, /)\n--\n\nWhether it is set." },
  { "set", event_set, METH_NOARGS, "set($self, /)\n--\n\nSets it: all that wait go on." },
  { "clear", event_clear, METH_NOARGS, "clear($self, /)\n--\n\nMakes it not set." },
  { "wait",
    (PyCFunction) (void *) event_wait,
    METH_VARARGS | METH_KEYWORDS,
    "wait($self, /, timeout=None)\n--\n\n"
    "Waits until it is set, for timeout seconds at most; gives whether it was." },
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

static PyType_Spec spec = { "_multiprocessing_gi.Event",
                            sizeof (AcceleratorObject),
                            0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                            slots };

gboolean
accelerator_add_events (PyObject *module)
{
  return accelerator_add_type (module, "Event", &spec);
}
