/* LOLWUT: the version of the server, or the art of an earlier one.
 *
 *   VERSION 5 [columns] [squares per row] [squares per column]   Schotter: squares that fall into disorder
 *   VERSION 6 [columns] [lines]                                  a skyline in four shades of grey
 *
 * Every picture is a grid of cells of one byte, whose meaning is the art's, and each cell becomes a piece
 * of text. The limits are Redis's; a picture of the largest takes hundreds of megabytes, as there.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "base/version.h"
#include "cmd/families.h"
#include "plat/random.h"

enum { COLUMNS_MAX = 1000, LINES_MAX = 1000, SQUARES_MAX = 200 };

struct picture {
    uint32_t columns, lines;
    uint8_t *cells; /* lines after each other */
    struct random_state random;
};

/* How a cell is written: at most `bytes` bytes, of which it returns how many. */
struct pen {
    uint32_t bytes;
    uint32_t (*write)(char *out, uint8_t cell);
};

/* ---- Pictures --------------------------------------------------------------------------------- */

/* False after the error reply. */
static bool picture_init(struct call *call, struct picture *picture, uint64_t columns,
                         uint64_t lines) {
    uint64_t seed = 0;
    picture->columns = (uint32_t)columns;
    picture->lines = (uint32_t)lines;
    picture->cells = mem_calloc(NULL, columns * lines);
    if (!picture->cells) call_error_memory(call);
    else if (random_from_kernel(&seed, sizeof seed) == 0) random_seed(&picture->random, seed);
    else random_seed(&picture->random, (uint64_t)call_now(call));
    return picture->cells;
}

/* Uniform in [-1, 1). */
static double random_swing(struct picture *picture) {
    return (double)random_below(&picture->random, 1 << 20) / (1 << 19) - 1;
}

static size_t picture_write(const struct picture *picture, const struct pen *pen, char *text) {
    char *at = text;
    const uint8_t *cell = picture->cells;
    for (uint32_t line = 0; line < picture->lines; line++) {
        if (line > 0) *at++ = '\n';
        for (uint32_t column = 0; column < picture->columns; column++)
            at += pen->write(at, *cell++);
    }
    return (size_t)(at - text);
}

/* Replies with the picture and what is written below it; frees it. */
static void picture_reply(struct call *call, struct picture *picture, const struct pen *pen,
                          struct bytes below) {
    size_t room = ((size_t)picture->columns * pen->bytes + 1) * picture->lines + below.len;
    char *text = mem_alloc(NULL, room);
    if (text) {
        size_t len = picture_write(picture, pen, text);
        memcpy(text + len, below.at, below.len);
        reply_verbatim(call->reply, "txt", bytes_of(text, len + below.len));
    } else {
        call_error_memory(call);
    }
    mem_free(NULL, text);
    mem_free(NULL, picture->cells);
}

/* argv[index] within 1 and `max`, or what it is if it is not given. False after the error reply. */
static bool read_size(struct call *call, uint32_t index, uint32_t max, uint32_t *size) {
    int64_t wanted = *size;
    if (index < call->argc && !call_integer(call, index, &wanted)) return false;
    *size = wanted < 1 ? 1 : wanted > max ? max : (uint32_t)wanted;
    return true;
}

/* ---- 5: Schotter ------------------------------------------------------------------------------ */

/* A cell is a character of Braille, two dots wide and four high, and its bits are the dots. */
enum { DOTS_ACROSS = 2, DOTS_DOWN = 4 };

static uint32_t write_braille(char *out, uint8_t dots) {
    out[0] = (char)0xe2;
    out[1] = (char)(0xa0 | dots >> 6);
    out[2] = (char)(0x80 | (dots & 63));
    return 3;
}

static void draw_dot(struct picture *picture, int64_t x, int64_t y) {
    static const uint8_t bits[DOTS_DOWN][DOTS_ACROSS] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    if (x < 0 || y < 0) return;
    uint64_t column = (uint64_t)x / DOTS_ACROSS, line = (uint64_t)y / DOTS_DOWN;
    if (column >= picture->columns || line >= picture->lines) return;
    picture->cells[line * picture->columns + column] |= bits[y % DOTS_DOWN][x % DOTS_ACROSS];
}

struct point {
    double x, y;
};

static int64_t nearest(double value) {
    return (int64_t)(value < 0 ? value - 0.5 : value + 0.5);
}

static double magnitude(double value) {
    return value < 0 ? -value : value;
}

/* In steps of less than a dot along its longer side. */
static void draw_line(struct picture *picture, struct point from, struct point to) {
    double across = to.x - from.x, down = to.y - from.y;
    double longer = magnitude(across) > magnitude(down) ? magnitude(across) : magnitude(down);
    int64_t steps = (int64_t)longer + 1;
    for (int64_t step = 0; step <= steps; step++) {
        double part = (double)step / (double)steps;
        draw_dot(picture, nearest(from.x + across * part), nearest(from.y + down * part));
    }
}

/* Turned by the angle whose half has the tangent `turn`. */
static void draw_square(struct picture *picture, struct point centre, double side, double turn) {
    double scale = side / 2 / (1 + turn * turn);
    double cosine = (1 - turn * turn) * scale, sine = 2 * turn * scale;
    struct point corner = {cosine - sine, cosine + sine};
    for (int i = 0; i < 4; i++) {
        struct point next = {-corner.y, corner.x};
        draw_line(picture, (struct point){centre.x + corner.x, centre.y + corner.y},
                  (struct point){centre.x + next.x, centre.y + next.y});
        corner = next;
    }
}

/* The first rows stand straight; the lower a row, the more its squares turn and wander. */
static void draw_schotter(struct picture *picture, double side, double padding, uint32_t across,
                          uint32_t down) {
    for (uint32_t row = 0; row < down; row++) {
        double disorder = row < 2 ? 0 : (double)(row + 1) / down;
        for (uint32_t i = 0; i < across; i++) {
            struct point centre = {padding + (i + 0.5) * side, padding + (row + 0.5) * side};
            centre.x += random_swing(picture) * disorder * side / 3;
            centre.y += random_swing(picture) * disorder * side / 3;
            draw_square(picture, centre, side, random_swing(picture) * disorder / 2);
        }
    }
}

static void schotter(struct call *call, uint32_t first) {
    static const struct pen braille = {3, write_braille};
    static const char below[] =
        "\n\nGeorg Nees - schotter, plotter on paper, 1968. Redis ver. " KEVYRT_REDIS_VERSION "\n";
    uint32_t columns = 66, across = 8, down = 12;
    struct picture picture;
    if (!read_size(call, first, COLUMNS_MAX, &columns) ||
        !read_size(call, first + 1, SQUARES_MAX, &across) ||
        !read_size(call, first + 2, SQUARES_MAX, &down))
        return;
    uint32_t padding = columns > 2 ? 2 : 0;
    float side = (float)(columns * DOTS_ACROSS - 2 * padding) / (float)across;
    uint64_t dots = (uint64_t)(side * (float)down + (float)(2 * padding));
    uint64_t lines = (dots + DOTS_DOWN - 1) / DOTS_DOWN;
    if (!picture_init(call, &picture, columns, lines)) return;
    draw_schotter(&picture, side, padding, across, down);
    /* Redis leaves a line free below, but where a single row of dots is in the last one. */
    size_t skipped = dots % DOTS_DOWN == 1;
    picture_reply(call, &picture, &braille, bytes_of(below + skipped, sizeof below - 1 - skipped));
}

/* ---- 6: a skyline ----------------------------------------------------------------------------- */

enum shade { SHADE_BLACK, SHADE_DARK, SHADE_LIGHT, SHADE_WHITE };
enum { PIXEL_BYTES = 16, HOUSE_MIN = 10, HOUSE_MORE = 11, WINDOW_STEP = 4 };

static uint32_t write_pixel(char *out, uint8_t shade) {
    static const struct bytes texts[] = {
        BYTES_LITERAL("\x1b[0;30;40m \x1b[0m"),
        BYTES_LITERAL("\x1b[0;90;100m \x1b[0m"),
        BYTES_LITERAL("\x1b[0;37;47m \x1b[0m"),
        BYTES_LITERAL("\x1b[0;97;107m \x1b[0m"),
    };
    memcpy(out, texts[shade].at, texts[shade].len);
    return texts[shade].len;
}

static void paint(struct picture *picture, int64_t x, int64_t y, enum shade shade) {
    if (x < 0 || y < 0 || x >= picture->columns || y >= picture->lines) return;
    picture->cells[(uint64_t)y * picture->columns + (uint64_t)x] = (uint8_t)shade;
}

static void paint_house(struct picture *picture, int64_t left, int64_t width, int64_t top,
                        enum shade shade) {
    for (int64_t y = top; y < picture->lines; y++)
        for (int64_t x = left; x < left + width; x++) paint(picture, x, y, shade);
}

/* Two pixels wide, one high; light burns in some. */
static void paint_windows(struct picture *picture, int64_t left, int64_t width, int64_t top) {
    for (int64_t y = top + 1; y < (int64_t)picture->lines - 1; y += 2) {
        for (int64_t x = left + 1; x + 2 < left + width; x += WINDOW_STEP) {
            enum shade light = random_below(&picture->random, 2) ? SHADE_DARK : SHADE_LIGHT;
            paint(picture, x, y, light);
            paint(picture, x + 1, y, light);
        }
    }
}

/* A row of houses from edge to edge: the farther ones are lighter and taller, the nearest have windows. */
static void paint_row(struct picture *picture, enum shade shade) {
    uint32_t tallest = picture->lines * (shade + 2u) / 5, shortest = tallest / 2;
    int64_t x = -(int64_t)random_below(&picture->random, HOUSE_MIN);
    while (x < picture->columns) {
        int64_t width = HOUSE_MIN + (int64_t)random_below(&picture->random, HOUSE_MORE);
        int64_t height = shortest + (int64_t)random_below(&picture->random, tallest - shortest + 1);
        paint_house(picture, x, width, picture->lines - height, shade);
        if (shade == SHADE_BLACK) paint_windows(picture, x, width, picture->lines - height);
        x += width + (int64_t)random_below(&picture->random, HOUSE_MIN / 2);
    }
}

static void skyline(struct call *call, uint32_t first) {
    static const struct pen pixels = {PIXEL_BYTES, write_pixel};
    uint32_t columns = 80, lines = 20;
    struct picture picture;
    if (!read_size(call, first, COLUMNS_MAX, &columns) ||
        !read_size(call, first + 1, LINES_MAX, &lines) ||
        !picture_init(call, &picture, columns, lines))
        return;
    memset(picture.cells, SHADE_WHITE, (size_t)columns * lines);
    paint_row(&picture, SHADE_LIGHT);
    paint_row(&picture, SHADE_DARK);
    paint_row(&picture, SHADE_BLACK);
    picture_reply(
        call, &picture, &pixels,
        BYTES_LITERAL(
            "\nDedicated to the 8 bit game developers of past and present.\n"
            "Original 8 bit image from Plaguemon by hikikomori. Redis ver. " KEVYRT_REDIS_VERSION
            "\n"));
}

/* ---- The command ------------------------------------------------------------------------------ */

enum { FIRST_SIZE = 3 };

static void lolwut_command(struct call *call) {
    static const char text[] = "Redis ver. " KEVYRT_REDIS_VERSION "\n";
    int64_t version = 0;
    bool asked = call->argc >= FIRST_SIZE && bytes_is(call->argv[1], "version");
    if (asked && !call_integer(call, 2, &version)) return;
    /* Redis takes 32 bits of it. */
    if ((uint32_t)version == 5) schotter(call, FIRST_SIZE);
    else if ((uint32_t)version == 6) skyline(call, FIRST_SIZE);
    else reply_verbatim(call->reply, "txt", bytes_of(text, sizeof text - 1));
}

void lolwut_bind(void) {
    command_bind("lolwut", lolwut_command);
}
