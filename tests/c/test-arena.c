/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */
#include "libmp.h"
#include "memory/mp-arena-private.h"
#include "test-util.h"
int main(int argc,char**argv){
  g_autoptr(GError) error=NULL;
  MpArena*a=mp_arena_new(&error); g_assert_no_error(error);
  for(int r=0;r<3;r++){
  gint64 t=g_get_monotonic_time();
  for(int i=0;i<1000000;i++){ MpBlock b=MP_BLOCK_INIT; mp_block_new(&b,a,1,64,&error); g_assert_no_error(error); mp_block_clear(&b);}
  g_print("%g ns\n",(g_get_monotonic_time()-t)/1e3);
  }
  MpBlock*bs=g_new0(MpBlock,1000000);
  gint64 t=g_get_monotonic_time();
  for(int i=0;i<1000000;i++){ mp_block_new(&bs[i],a,1,64,&error); g_assert_no_error(error); }
  g_print("%g ns\n",(g_get_monotonic_time()-t)/1e3);
  g_print("size %lu blocks %lu\n",mp_arena_get_file_size(a),mp_arena_get_n_blocks(a));
  t=g_get_monotonic_time();
  mp_arena_sweep(a);
  g_print("sweep %g us\n",(g_get_monotonic_time()-t)/1.);
  t=g_get_monotonic_time();
  for(int i=0;i<1000000;i++){ mp_block_clear(&bs[i]);}
  g_print("%g ns\n",(g_get_monotonic_time()-t)/1e3);
  g_print("size %lu blocks %lu\n",mp_arena_get_file_size(a),mp_arena_get_n_blocks(a));
  for (gsize s=1;s<=(1ul<<40);s*=2){MpBlock b=MP_BLOCK_INIT; gboolean ok=mp_block_new(&b,a,1,s,&error); g_print("%lu %d %s\n",s,ok,ok?"":error->message); g_clear_error(&error); if(ok){memset(b.memory,1,s>1000000?1000000:s);} mp_block_clear(&b);}
  mp_arena_unref(a);
}
