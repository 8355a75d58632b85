/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <libmp.h>

G_BEGIN_DECLS

/* What the tests of processes share: tasks, and what to do with them. */

/* No test waits longer for what has to happen. */
#define TEST_LIMIT_US (20 * G_USEC_PER_SEC)

/* To be called before mp_bootstrap(). Tasks (what they are applied to):
 *   exit (i)       calls exit()
 *   succeed ()     returns a value
 *   fail ()        returns an error
 *   signal (i)     kills itself
 *   pause ()       writes its pid to its first descriptor if there is one, and waits
 *   report (s)     writes what is asked for to its first descriptor: cwd, pid,
 *                  fds, argument, env NAME, stdin, mask, surroundings, out
 *   parent (s)     starts a task (empty name: a shell) that pauses, with its
 *                  own first descriptor, then pauses itself
 *   hold (av)      acquires a lock, adds 5 to a value, sets an event, all given by
 *                  their handles, and pauses
 *   eat (x)        takes so many bytes of memory, writes its pid as pause does, and
 *                  waits; exit code 3 if there are no more
 *   spin ()        never ends, and is never idle */
void test_tasks_register (void);

/* Starts a task with a pipe as its descriptor; *@fd is our end of it. */
MpProcess *test_start_with_pipe (MpContext *context, const char *task, GVariant *argument, int *fd);
/* The next line from a pipe, NULL at its end; fails the test when it takes too long. */
char *test_read_line (int fd);
int test_read_pid (int fd);

MpProcess *test_start_command (MpContext *context, const char *script);
int test_join (MpProcess *process);

/* Waits until process @pid is gone (a zombie counts). */
void test_wait_for_end (int pid);
void test_wait_until (gboolean (*done) (gpointer data), gpointer data);
guint test_count_fds (void);

G_END_DECLS
