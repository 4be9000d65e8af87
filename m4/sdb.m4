# SPDX-License-Identifier: Apache-2.0
# sdb.m4: the three questions that configure asks more than once.

# SDB_WARNING(FLAG): adds FLAG to WARNING_CFLAGS when the compiler knows it. Clang only warns about
# flags it does not know, hence -Werror while asking.
AC_DEFUN([SDB_WARNING], [
  AS_VAR_PUSHDEF([sdb_known], [sdb_cv_flag_$1])
  AC_CACHE_CHECK([whether $CC knows $1], [sdb_known], [
    sdb_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $1"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
      [AS_VAR_SET([sdb_known], [yes])], [AS_VAR_SET([sdb_known], [no])])
    CFLAGS=$sdb_saved_CFLAGS
  ])
  AS_VAR_IF([sdb_known], [yes], [WARNING_CFLAGS="$WARNING_CFLAGS $1"])
  AS_VAR_POPDEF([sdb_known])
])

# SDB_PEER(NAME, MODULE, HEADER, LIBRARY, FUNCTION): looks for an engine that the benchmark compares
# with, first by pkg-config (MODULE may be empty), then by header and library. Never an error. Gives
# NAME_CFLAGS, NAME_LIBS, HAVE_NAME (in C and in automake) and the shell variable have_NAME.
AC_DEFUN([SDB_PEER], [
  have_$1=no
  m4_ifval([$2], [PKG_CHECK_MODULES([$1], [$2], [have_$1=yes], [have_$1=no])])
  AS_IF([test "$have_$1" = no], [
    AC_CHECK_HEADER([$3], [
      sdb_saved_LIBS=$LIBS
      AC_CHECK_LIB([$4], [$5], [have_$1=yes $1_LIBS=-l$4])
      LIBS=$sdb_saved_LIBS
    ])
  ])
  AS_IF([test "$have_$1" = yes],
    [AC_DEFINE([HAVE_$1], [1], [Define to 1 if the benchmark can be compared with $4.])])
  AC_SUBST([$1_CFLAGS])
  AC_SUBST([$1_LIBS])
  AM_CONDITIONAL([HAVE_$1], [test "$have_$1" = yes])
])

# SDB_REQUIRE(NAME, MODULE, DEBIAN-PACKAGE, WHAT-FOR): a library we cannot be built without.
AC_DEFUN([SDB_REQUIRE], [
  PKG_CHECK_MODULES([$1], [$2], [],
    [AC_MSG_ERROR([$2 is missing; sdb needs it for $4 (Debian: apt-get install $3)])])
])
