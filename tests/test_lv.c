/* Domains of libvirt (vmm/libvirt/lv.h): what is read from their XML and from QEMU's registers. */
#include <criterion/criterion.h>
#include <errno.h>

#include "vmm/libvirt/lv.h"

Test(lv, registers_of_qemu_are_read)
{
    static const char text[] =
        "\r\nCPU#0\r\nEAX=00000000 EBX=2badb002\r\nGDT=     0010de68 0000003f\r\n"
        "CR0=80010011 CR2=c0000000 CR3=0010f000 CR4=00000690\r\nDR0=00000000 DR6=ffff0ff0\r\n"
        "EFER=0000000000000800\r\nFCW=037f\r\n";
    struct lv_regs r;
    cr_assert_eq(lv_registers_parse(text, &r), 0);
    cr_expect_eq(r.cr0, 0x80010011);
    cr_expect_eq(r.cr3, 0x0010f000);
    cr_expect_eq(r.cr4, 0x690);
    cr_expect_eq(r.efer, 0x800);
}

Test(lv, registers_that_are_not_there_or_of_64_bits_are_refused)
{
    struct lv_regs r;
    cr_expect_eq(lv_registers_parse("", &r), -EINVAL);
    cr_expect_eq(lv_registers_parse("CR0=1 CR3=2 CR4=3", &r), -EINVAL);
    cr_expect_eq(lv_registers_parse("XCR0=1 CR3=2 CR4=3 EFER=0", &r), -EINVAL);
    cr_expect_eq(lv_registers_parse("CR0=zz CR3=2 CR4=3 EFER=0", &r), -EINVAL);
    cr_expect_eq(lv_registers_parse("CR0=1 CR3=ffff888000000000 CR4=3 EFER=d01", &r), -EINVAL);
    cr_expect_eq(lv_registers_parse("CR0=1 CR3=fffffffffffffffffff CR4=3 EFER=0", &r), -EINVAL);
}

static int parse(const char *xml, struct lv_config *c)
{
    struct errmsg err;
    return lv_config_parse(xml, "test", c, &err);
}

Test(lv, a_domain_is_what_its_xml_says)
{
    struct lv_config c;
    if (!lv_built()) {
        cr_expect_eq(parse("<domain/>", &c), -ENOTSUP);
        return;
    }
    cr_assert_eq(parse("<domain><memory unit='MiB'>48</memory><os><type arch='i686'>hvm</type>"
                       "<kernel>/k</kernel><initrd>/i</initrd><cmdline>a &lt; b</cmdline></os>"
                       "</domain>",
                       &c),
                 0);
    cr_expect_eq(c.ram, 48u << 20);
    cr_expect_str_eq(c.kernel, "/k");
    cr_expect_str_eq(c.initrd, "/i");
    cr_expect_str_eq(c.cmdline, "a < b");
    lv_config_free(&c);

    cr_assert_eq(parse("<domain><memory>65536</memory></domain>", &c), 0); /* KiB */
    cr_expect_eq(c.ram, 64u << 20);
    cr_expect_null(c.kernel);
    lv_config_free(&c);
}

Test(lv, xml_that_makes_no_sense_is_refused)
{
    static const char *const wrong[] = {
        "",
        "no xml",
        "<domain><memory>64",
        "<domain/>",
        "<domain><memory>-1</memory></domain>",
        "<domain><memory>0</memory></domain>",
        "<domain><memory unit='furlong'>1</memory></domain>",
        "<domain><memory unit='GiB'>99999999999999</memory></domain>",
        "<domain><memory>99999999999999999999999</memory></domain>",
        "<domain><memory>64</memory><os><type arch='s390x'>hvm</type></os></domain>",
        NULL};
    struct lv_config c;
    for (int i = 0; wrong[i]; i++)
        cr_expect_eq(parse(wrong[i], &c), lv_built() ? -EINVAL : -ENOTSUP, "%s", wrong[i]);
}

Test(lv, external_entities_are_not_fetched)
{
    struct lv_config c;
    if (!lv_built())
        return;
    cr_assert_eq(parse("<!DOCTYPE domain [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>"
                       "<domain><memory>64</memory><os><kernel>&x;</kernel></os></domain>",
                       &c),
                 0);
    cr_expect_null(c.kernel);
    lv_config_free(&c);
}
