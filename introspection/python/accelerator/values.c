/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Synchronized, a ctypes object with a lock, and the attributes of it that are
 * read and written under that lock. */

#include "accelerator.h"

#include <stddef.h>
#include <structmember.h>

typedef struct
{
  PyObject base;
  PyObject *object;
  PyObject *lock;
} Synchronized;

static PyTypeObject *synchronized_type;

static int
synchronized_init (PyObject *self, PyObject *args, PyObject *keywords)
{
  static char object_name[] = "obj", lock_name[] = "lock";
  static char *names[] = { object_name, lock_name, NULL };
  Synchronized *synchronized = (Synchronized *) self;
  PyObject *object, *lock, *old_object = synchronized->object, *old_lock = synchronized->lock;

  if (!PyArg_ParseTupleAndKeywords (args, keywords, "OO", names, &object, &lock))
    return -1;
  Py_INCREF (object);
  Py_INCREF (lock);
  synchronized->object = object;
  synchronized->lock = lock;
  Py_XDECREF (old_object);
  Py_XDECREF (old_lock);
  return 0;
}

static int
synchronized_traverse (PyObject *self, visitproc visit, void *arg)
{
  Py_VISIT (Py_TYPE (self));
  Py_VISIT (((Synchronized *) self)->object);
  Py_VISIT (((Synchronized *) self)->lock);
  return 0;
}

static int
synchronized_clear (PyObject *self)
{
  Py_CLEAR (((Synchronized *) self)->object);
  Py_CLEAR (((Synchronized *) self)->lock);
  return 0;
}

static void
synchronized_dealloc (PyObject *self)
{
  PyTypeObject *type = Py_TYPE (self);
  freefunc free_object = (freefunc) PyType_GetSlot (type, Py_tp_free);

  PyObject_GC_UnTrack (self);
  synchronized_clear (self);
  free_object (self);
  Py_DECREF (type);
}

static PyMemberDef synchronized_members[] = {
  { "_obj", T_OBJECT_EX, offsetof (Synchronized, object), 0, NULL },
  { "_lock", T_OBJECT_EX, offsetof (Synchronized, lock), 0, NULL },
  { NULL, 0, 0, 0, NULL },
};

static PyType_Slot synchronized_slots[] = {
  { Py_tp_init, synchronized_init },         { Py_tp_members, synchronized_members },
  { Py_tp_traverse, synchronized_traverse }, { Py_tp_clear, synchronized_clear },
  { Py_tp_dealloc, synchronized_dealloc },   { 0, NULL },
};

static PyType_Spec synchronized_spec = { "_multiprocessing_gi.Synchronized",
                                         sizeof (Synchronized),
                                         0,
                                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE |
                                           Py_TPFLAGS_HAVE_GC,
                                         synchronized_slots };

/* The attributes */

typedef struct
{
  PyObject base;
  PyObject *name;
} LockedAttribute;

/* Any lock there is: one of ours, or an object with acquire() and release(). */
static int
acquire (PyObject *lock)
{
  PyObject *result;

  if (accelerator_is_lock (lock))
    return accelerator_lock_acquire (lock);
  result = PyObject_CallMethod (lock, "acquire", NULL);
  Py_XDECREF (result);
  return result != NULL ? 0 : -1;
}

/* Keeps an exception that is set. */
static int
release (PyObject *lock)
{
  PyObject *type, *value, *traceback, *result = NULL;
  int status;

  PyErr_Fetch (&type, &value, &traceback);
  if (accelerator_is_lock (lock))
    status = accelerator_lock_release (lock);
  else
    {
      result = PyObject_CallMethod (lock, "release", NULL);
      status = result != NULL ? 0 : -1;
      Py_XDECREF (result);
    }
  if (status == 0)
    PyErr_Restore (type, value, traceback);
  else
    {
      Py_XDECREF (type);
      Py_XDECREF (value);
      Py_XDECREF (traceback);
    }
  return status;
}

static gboolean
is_whole (PyObject *instance)
{
  if (PyObject_TypeCheck (instance, synchronized_type) &&
      ((Synchronized *) instance)->object != NULL)
    return TRUE;
  PyErr_SetString (PyExc_TypeError, "this is no synchronized object");
  return FALSE;
}

static PyObject *
attribute_get (PyObject *self, PyObject *instance, PyObject *owner)
{
  PyObject *lock, *result;

  if (instance == NULL || instance == Py_None)
    {
      Py_INCREF (self);
      return self;
    }
  if (!is_whole (instance))
    return NULL;
  lock = ((Synchronized *) instance)->lock;
  if (acquire (lock) != 0)
    return NULL;
  result = PyObject_GetAttr (((Synchronized *) instance)->object, ((LockedAttribute *) self)->name);
  if (release (lock) != 0)
    Py_CLEAR (result);
  return result;
}

static int
attribute_set (PyObject *self, PyObject *instance, PyObject *value)
{
  PyObject *lock;
  int status;

  if (!is_whole (instance))
    return -1;
  lock = ((Synchronized *) instance)->lock;
  if (acquire (lock) != 0)
    return -1;
  status =
    PyObject_SetAttr (((Synchronized *) instance)->object, ((LockedAttribute *) self)->name, value);
  return release (lock) == 0 ? status : -1;
}

static int
attribute_init (PyObject *self, PyObject *args, PyObject *keywords)
{
  PyObject *name, *old = ((LockedAttribute *) self)->name;

  if (!PyArg_ParseTuple (args, "U:locked_attribute", &name))
    return -1;
  Py_INCREF (name);
  PyUnicode_InternInPlace (&name);
  ((LockedAttribute *) self)->name = name;
  Py_XDECREF (old);
  return 0;
}

static void
attribute_dealloc (PyObject *self)
{
  PyTypeObject *type = Py_TYPE (self);
  freefunc free_object = (freefunc) PyType_GetSlot (type, Py_tp_free);

  Py_CLEAR (((LockedAttribute *) self)->name);
  free_object (self);
  Py_DECREF (type);
}

static PyType_Slot attribute_slots[] = {
  { Py_tp_init, attribute_init },
  { Py_tp_descr_get, attribute_get },
  { Py_tp_descr_set, attribute_set },
  { Py_tp_dealloc, attribute_dealloc },
  { 0, NULL },
};

static PyType_Spec attribute_spec = { "_multiprocessing_gi.locked_attribute",
                                      sizeof (LockedAttribute),
                                      0,
                                      Py_TPFLAGS_DEFAULT,
                                      attribute_slots };

gboolean
accelerator_add_values (PyObject *module)
{
  if (!accelerator_add_type (module, "Synchronized", &synchronized_spec) ||
      !accelerator_add_type (module, "locked_attribute", &attribute_spec))
    return FALSE;
  synchronized_type = (PyTypeObject *) PyObject_GetAttrString (module, "Synchronized");
  return synchronized_type != NULL;
}
