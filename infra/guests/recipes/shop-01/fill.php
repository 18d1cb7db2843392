<?php
// Installs one WordPress site and fills it with posts and comments. fill.php SITE FIRST STEP:
// takes every STEPth text of /tmp/guest/texts, beginning with the FIRST.
[, $site, $first, $step] = $argv;
$_SERVER['HTTP_HOST'] = "$site.example";
$_SERVER['REQUEST_URI'] = '/';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
define('WP_INSTALLING', true);
require '/usr/share/wordpress/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
// Nobody gets to know the password: the guest carries no secret that opens anything.
wp_install(ucfirst($site), 'keeper', 'keeper@example.invalid', true, '', bin2hex(random_bytes(24)));
wp_defer_term_counting(true);
wp_defer_comment_counting(true);
$files = glob('/tmp/guest/texts/articles/*/*.html');
sort($files);
$number = 0;
for ($i = (int) $first; $i < count($files); $i += (int) $step) {
    $text = file_get_contents($files[$i]);
    $number++;
    $post = wp_insert_post([
        'post_title' => "Post $number of $site: " . substr($text, 0, 40),
        'post_content' => wpautop($text),
        'post_status' => 'publish',
        'post_author' => 1,
    ], true);
    if (is_wp_error($post)) {
        fwrite(STDERR, $post->get_error_message() . "\n");
        exit(1);
    }
    for ($comment = 0; $comment < 3; $comment++) {
        wp_insert_comment([
            'comment_post_ID' => $post,
            'comment_author' => 'Reader ' . ($number * 3 + $comment),
            'comment_content' => substr($text, 400 * $comment, 400),
            'comment_approved' => 1,
        ]);
    }
}
wp_defer_term_counting(false);
wp_defer_comment_counting(false);
echo "$site: $number posts\n";
