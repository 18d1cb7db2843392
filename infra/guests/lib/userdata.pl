#!/usr/bin/perl
# Room: infra/guests. User data from a seed: the same bytes on every machine, half of them text and
# half incompressible, half of each in small files and half in large ones.
#
#   userdata.pl files SEED MIB DIR [PERCENT_TEXT]    fills DIR (default 50)
#   userdata.pl sql SEED ROWS                        prints the SQL of a catalogue with its orders
#
# All randomness is the AES-128-CTR key stream of the seed, so no library's generator is involved.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

my ($mode, $seed, $amount, $dir, $percent_text) = @ARGV;
die "usage: userdata.pl files SEED MIB DIR [PERCENT_TEXT] | sql SEED ROWS\n"
  unless defined $amount && $amount =~ /^\d+$/ && ($mode eq 'sql' || ($mode eq 'files' && defined $dir));
$percent_text = 50 unless defined $percent_text;

open(STDIN, '<', '/dev/zero') or die "/dev/zero: $!\n";
my $key = substr(sha256_hex("vmdn-userdata:$seed"), 0, 32);
# openssl complains when nobody reads on; that is how it is meant to end.
open(my $stderr, '>&', \*STDERR) or die "stderr: $!\n";
open(STDERR, '>', '/dev/null') or die "/dev/null: $!\n";
open(my $stream, '-|', 'openssl', 'enc', '-aes-128-ctr', '-K', $key, '-iv', '0' x 32)
  or die "cannot start openssl: $!\n";
open(STDERR, '>&', $stderr) or die "stderr: $!\n";
binmode($stream);

sub bytes {
    my ($count) = @_;
    my $got = read($stream, my $buffer, $count);
    die "the key stream ended\n" unless defined $got && $got == $count;
    return $buffer;
}

sub number { my ($below) = @_; return unpack('N', bytes(4)) % $below }

# 3,000 words of two to four syllables, drawn so that few are frequent and most are rare.
my @syllables = map { my $c = $_; map { $c . $_ } qw(a e i o u an er in on us) }
  qw(b d f g k l m n p r s t v z st tr);
my @vocabulary = map {
    join '', map { $syllables[number(scalar @syllables)] } 1 .. 2 + number(3)
} 1 .. 3000;
my @word_by_draw = map { $vocabulary[int(3000 * ($_ / 65536)**3)] } 0 .. 65535;

sub words { my ($count) = @_; return @word_by_draw[unpack('n*', bytes(2 * $count))] }

# Text of exactly $size bytes in lines of twelve words.
sub text {
    my ($size) = @_;
    my $text = '';
    while (length($text) < $size) {
        my @words = words(600);
        while (my @line = splice(@words, 0, 12)) { $text .= ucfirst(join(' ', @line)) . ".\n" }
    }
    return substr($text, 0, $size - 1) . "\n";
}

sub save {
    my ($path, $content) = @_;
    open(my $file, '>', $path) or die "$path: $!\n";
    binmode($file);
    print {$file} $content or die "$path: $!\n";
    close($file) or die "$path: $!\n";
}

# Files of $least..$most bytes (spread over a power law, as real ones are) until $total is reached.
sub fill {
    my ($folder, $suffix, $make, $total, $least, $most) = @_;
    my $files = 0;
    while ($total > 0) {
        my $size = int($least * ($most / $least)**(number(10_000) / 10_000));
        $size = $total if $size > $total || $total - $size < $least;
        my $shelf = sprintf('%s/%02d', $folder, int($files / 100));
        for my $path ("$dir/$folder", "$dir/$shelf") { -d $path or mkdir $path or die "$path: $!\n" }
        save(sprintf('%s/%s/%05d.%s', $dir, $shelf, $files++, $suffix), $make->($size));
        $total -= $size;
    }
}

if ($mode eq 'files') {
    -d $dir or mkdir $dir or die "$dir: $!\n";
    my $total = $amount * 1024 * 1024;
    my $text = int($total * $percent_text / 100);
    my $binary = $total - $text;
    my ($small_text, $small_binary) = (int($text / 2), int($binary / 2));
    fill('articles', 'html', \&text, $small_text, 2_048, 65_536) if $small_text;
    fill('logs', 'csv', \&text, $text - $small_text, 1 << 20, 4 << 20) if $text;
    fill('images', 'jpg', \&bytes, $small_binary, 4_096, 262_144) if $small_binary;
    fill('downloads', 'bin', \&bytes, $binary - $small_binary, 2 << 20, 16 << 20) if $binary;
} else {
    print "PRAGMA page_size = 4096;\nBEGIN;\n",
      "CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT, description TEXT, cents INTEGER);\n",
      "CREATE TABLE purchase (id INTEGER PRIMARY KEY, product INTEGER REFERENCES product (id), ",
      "customer TEXT, bought TEXT, pieces INTEGER);\n";
    for my $id (1 .. $amount) {
        printf "INSERT INTO product VALUES (%d, '%s', '%s', %d);\n", $id, join(' ', words(3)),
          join(' ', words(40)), 100 + number(100_000);
    }
    for my $id (1 .. 4 * $amount) {
        printf "INSERT INTO purchase VALUES (%d, %d, '%s', '20%02d-%02d-%02d', %d);\n", $id,
          1 + number($amount), join(' ', words(2)), 10 + number(15), 1 + number(12), 1 + number(28), 1 + number(9);
    }
    print "CREATE INDEX purchase_product ON purchase (product);\nCOMMIT;\n";
}
