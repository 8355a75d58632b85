/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C"
{
#endif

  /* Something that carries messages of one size between processes that are forked. */
  typedef struct
  {
    const char *name;
    /* The greatest message; 0: any. */
    size_t max_size;
    /* NULL if it cannot be had. */
    void *(*open) (size_t size, unsigned n_messages);
    void (*put) (void *self, const void *data, size_t size);
    void (*get) (void *self, void *data, size_t size);
    void (*close) (void *self);
  } BenchPeer;

  extern const BenchPeer bench_peer_boost;

#ifdef __cplusplus
}
#endif
