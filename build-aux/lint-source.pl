#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# lint-source.pl SRCDIR FLOOR…: what can be said of the sources by reading them.
#
# FLOOR… are the floors that are part of the library. Prints "file:line: check: what" for each
# finding and exits 1 if there was one. The checks: layers, build, banned, columns, blanks, licence,
# function, file, name. Exceptions stand in build-aux/lint-allow.
use strict;
use warnings;
use File::Find;

my ($top, @library) = @ARGV;
die "usage: lint-source.pl SRCDIR FLOOR...\n" unless defined $top;
chdir $top or die "$top: $!\n";

my %limit = (columns => 100, file => 700, function => 70, loose_function => 100);
my @allocators = qw(malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf
    aligned_alloc posix_memalign);
my @never = qw(strcpy strcat sprintf vsprintf gets strtok tmpnam mktemp alloca system popen);
my @not_in_library = qw(printf fprintf vprintf vfprintf dprintf puts fputs putchar perror exit _exit
    quick_exit abort signal sigaction sigprocmask atexit rand srand getenv setenv);
my ($allocators, $never, $not_in_library) =
    map { my $any = join '|', @$_; qr/(?<![\w.>])($any)\s*\(/ }
    \(@allocators, @never, @not_in_library);

my $findings = 0;
my (%allowed, %allowed_used);

sub slurp {
    my ($path) = @_;
    open my $in, '<:encoding(UTF-8)', $path or die "$path: $!\n";
    local $/;
    my $text = <$in>;
    return defined $text ? $text : '';
}

# finding(CHECK, PATH, LINE, WHAT[, FUNCTION])
sub finding {
    my ($check, $path, $line, $what, $function) = @_;
    for my $key ("$check $path", defined $function ? "$check $path:$function" : ()) {
        if ($allowed{$key}) { $allowed_used{$key} = 1; return; }
    }
    print "$path:$line: $check: $what\n";
    $findings++;
}

# The text with comments and literals blanked out, lines kept.
sub blank {
    my ($text) = @_;
    $text =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}
              {my $t = $1; $t =~ s/[^\n]/ /g; $t}gse;
    return $text;
}

# ---- what there is -------------------------------------------------------------------------------
my @layers = grep { /\S/ && !/^#/ } split /\n/, slurp('LAYERS');
s/^\s+|\s+$//g for @layers;
my %height = map { $layers[$_] => $_ } 0 .. $#layers;
my %in_library = map { $_ => 1 } @library;

my $number = 0;
for (split /\n/, slurp('build-aux/lint-allow')) {
    $number++;
    next if /^\s*(#|$)/;
    s/^\s+|\s+$//g;
    s/\s+/ /g;
    $allowed{$_} = $number;
}

my (@sources, @scripts);
find({no_chdir => 1, wanted => sub {
    (my $path = $File::Find::name) =~ s{^\./}{};
    if (-d $_) {
        $File::Find::prune = 1
            if $path =~ m{^(\.git|autom4te\.cache)$} || -e "$_/config.status" || $path =~ m{^build};
        return;
    }
    push @sources, $path if $path =~ /\.[ch]$/ && $path !~ m{^config\.h};
    push @scripts, $path if $path =~ m{(\.(sh|pl|am|m4|ac)|^bootstrap|^\.ci/run)$}
        && $path !~ m{^(m4/(libtool|lt)|aclocal\.m4)};
}}, '.');
# Of build-aux only our own; autoreconf puts its scripts beside them.
push @scripts, grep { -f } glob 'build-aux/lint* build-aux/check-suites.sh build-aux/coverage.sh';
@scripts = grep { $_ ne 'build-aux/lint-allow' } @scripts;

# The floor that a path belongs to, or undef.
sub floor_of {
    my ($path) = @_;
    my ($best) = sort { length $b <=> length $a } grep { index($path, "$_/") == 0 } @layers;
    return $best;
}

# ---- the checks ------------------------------------------------------------------------------
sub check_includes {
    my ($path, $floor, $lines) = @_;
    for my $i (0 .. $#$lines) {
        next unless $lines->[$i] =~ /^\s*#\s*include\s+([<"])([^>"]+)[>"]/;
        my ($mark, $name) = ($1, $2);
        if ($mark eq '<') {
            next unless $name =~ m{^sdb/};
            $name = "include/$name";
        } elsif (!-e $name) {
            my $hint = $name eq 'config.h' ? 'is included by the build, before everything'
                                           : 'is not a path from the root of the tree';
            finding('layers', $path, $i + 1, "\"$name\" $hint");
            next;
        }
        next unless defined $floor;
        my $other = floor_of($name);
        if (!defined $other) {
            finding('layers', $path, $i + 1, "\"$name\" is on no floor of LAYERS");
        } elsif ($height{$other} > $height{$floor}) {
            finding('layers', $path, $i + 1,
                "$floor is below $other and may not include \"$name\"");
        }
    }
}

sub check_lines {
    my ($path, $lines) = @_;
    finding('licence', $path, 1, 'the first line is /* SPDX-License-Identifier: Apache-2.0 */')
        if !@$lines || $lines->[0] ne '/* SPDX-License-Identifier: Apache-2.0 */';
    for my $i (0 .. $#$lines) {
        my $line = $lines->[$i];
        my $width = length $line;
        finding('columns', $path, $i + 1, "$width columns, at most $limit{columns}")
            if $width > $limit{columns};
        finding('blanks', $path, $i + 1, 'a tab') if $line =~ /\t/;
        finding('blanks', $path, $i + 1, 'blanks at the end') if $line =~ /[ \r]$/;
    }
    my $count = @$lines;
    finding('file', $path, $count, "$count lines, at most $limit{file}") if $count > $limit{file};
}

# A function's body stands between braces in the first column.
sub check_functions {
    my ($path, $floor, $code) = @_;
    my $most = defined $floor && $in_library{$floor} ? $limit{function} : $limit{loose_function};
    my ($start, $name) = (0, '?');
    for my $i (0 .. $#$code) {
        my $line = $code->[$i];
        if ($line =~ /^\{\s*$/) {
            $start = $i;
        } elsif ($line =~ /^\}/ && $start) {
            my $count = $i - $start + 1;
            finding('function', $path, $start + 1, "$name has $count lines, at most $most", $name)
                if $count > $most;
            $start = 0;
        } elsif ($line =~ /^[A-Za-z_].*\)\s*\{[^}]*$/ && $line !~ /^(extern|START_TEST|#)/) {
            finding('function', $path, $i + 1, 'the brace that opens a body stands alone');
        } elsif (!$start && $line =~ /^[A-Za-z_][\w\s*]*?\b(\w+)\s*\(/) {
            $name = $1;
        }
    }
}

sub check_calls {
    my ($path, $floor, $code) = @_;
    my $library = defined $floor && $in_library{$floor};
    for my $i (0 .. $#$code) {
        my $line = $code->[$i];
        next if $line =~ /^\s*#/ && $line !~ /^\s*#\s*define/;
        while ($line =~ /$never/g) {
            finding('banned', $path, $i + 1, "$1() is never used here", $1);
        }
        next unless $library;
        while ($line =~ /$allocators/g) {
            finding('banned', $path, $i + 1, "$1(): memory comes from engine/base/mem.h", $1)
                unless $path eq 'engine/base/mem.c';
        }
        while ($line =~ /$not_in_library/g) {
            next if $1 eq 'getenv' && $path eq 'engine/base/mutant.h';
            finding('banned', $path, $i + 1, "$1(): the library does not print, exit, or touch "
                . 'what belongs to the process', $1);
        }
    }
}

my %by_name;
for my $path (sort @sources) {
    my $text = slurp($path);
    my @lines = split /\n/, $text, -1;
    finding('blanks', $path, scalar @lines, 'the last line has no end') if pop(@lines) ne '';
    my @code = split /\n/, blank($text), -1;
    my $floor = floor_of($path);
    check_lines($path, \@lines);
    check_includes($path, $floor, \@lines);
    check_functions($path, $floor, \@code);
    check_calls($path, $floor, \@code);
    next unless $path =~ m{^(.*)/([^/]+)\.c$};
    my ($folder, $name) = ($1, $2);
    finding('name', $path, 1, "there is $by_name{$name} already") if $by_name{$name};
    $by_name{$name} = $path;
    my $makefile = "$folder/local.am";
    if (!-e $makefile) {
        finding('build', $path, 1, "$folder has no local.am");
    } elsif (slurp($makefile) !~ m{(%D%|\Q$folder\E)/\Q$name\E(\.c)?(\s|$)}m) {
        finding('build', $path, 1, "$makefile does not build it");
    }
}

for my $floor (@library) {
    finding('layers', 'LAYERS', 1, "$floor is built into the library and is not on the list")
        unless exists $height{$floor};
}

for my $path (sort @scripts) {
    my @lines = split /\n/, slurp($path), -1;
    pop @lines;
    my $licence = join('', map { defined $lines[$_] ? $lines[$_] : '' } 0, 1)
        =~ /SPDX-License-Identifier: Apache-2\.0/;
    finding('licence', $path, 1, 'SPDX-License-Identifier: Apache-2.0 is missing at the top')
        unless $licence || $path =~ /local\.am$/;
    for my $i (0 .. $#lines) {
        finding('blanks', $path, $i + 1, 'blanks at the end') if $lines[$i] =~ /[ \t\r]$/;
        finding('columns', $path, $i + 1, length($lines[$i]) . " columns, at most $limit{columns}")
            if length $lines[$i] > $limit{columns};
    }
}

for my $key (sort keys %allowed) {
    next if $allowed_used{$key};
    print "build-aux/lint-allow:$allowed{$key}: allow: \"$key\" is not needed any more\n";
    $findings++;
}
printf "lint: %d sources, %d scripts read\n", scalar @sources, scalar @scripts unless $findings;
exit($findings ? 1 : 0);
