# make install, make deb: where what was built goes.  Included by the Makefile.
#
# Below DESTDIR: what a person types in bin, what those programs start in lib/mainstay, units, pages of the manual,
# completion.  install-site, -hub, -desk and -release are the four packages; install is all of them.

SITE_BIN     := mainstay
SITE_LIBEXEC := mainstayd mainstay-collectd mainstay-courier mainstay-judge mainstay-activate mainstay-operate \
                mainstay-notify mainstay-supervise
HUB_BIN      := mainstay-hubd
HUB_LIBEXEC  := mainstay-hub-notify
DESK_BIN     := mainstay-desk
RELEASE_BIN  := mainstay-release

UNITS_HUB    := $(wildcard packaging/systemd/mainstay-hub*.service)
UNITS_SITE   := $(filter-out $(UNITS_HUB),$(wildcard $(addprefix packaging/systemd/*.,service target slice socket path timer)))

I_BIN        := $(DESTDIR)$(PREFIX)/bin
I_LIBEXEC    := $(DESTDIR)$(PREFIX)/lib/mainstay
I_SHARE      := $(DESTDIR)$(PREFIX)/share
# Where PREFIX is /usr, Debian's packages name this one by /lib.
I_UNITS      := $(DESTDIR)$(if $(filter /usr,$(PREFIX)),,$(PREFIX))/lib/systemd/system
SYSCONFDIR   ?= $(if $(filter /usr,$(PREFIX)),,$(PREFIX))/etc

# --- as they are installed: without symbols, and the same bytes wherever they are built ----------------------
STRIPPED     := $(PROGRAMS:$(B)/bin/%=$(B)/stripped/%)
define stripped
$(B)/stripped/$(notdir $(1:.c=)): $(B)/$(1:.c=.o) $(LIB)
	@mkdir -p $$(@D)
	$(Q)$(CC) $$(LDFLAGS) $(SANFLAGS.$(SAN)) -s -o $$@.new $$< $(LIB) $$(LDLIBS)
	$(Q)strip --remove-section=.comment $$@.new && mv $$@.new $$@
endef
$(foreach src,$(CMD_SRC),$(eval $(call stripped,$(src))))

# The date of the last commit, and outside a clone that of the file that says what changed.  Of the manual and the packages
# alone: a release that a test builds has a date where its builder gives one.
MANUAL       := $(B)/man/made
MADE         := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y packaging/deb/changelog))
$(MANUAL) deb: export SOURCE_DATE_EPOCH = $(MADE)

$(MANUAL): $(PROGRAMS) $(wildcard packaging/man/*)
	$(Q)packaging/man/make $(B)/bin $(@D) $(VERSION)
	@touch $@

.PHONY: manual
manual: $(MANUAL)               ## the pages of the manual, in build/man

# install_programs FOLDER, NAMES
install_programs = install -d $(1) && install -m 0755 $(addprefix $(B)/stripped/,$(2)) $(1)/
# install_units FILES: they name the programs by /usr
install_units = $(if $(strip $(1)),install -d $(I_UNITS) && for u in $(1); do \
	sed 's|/usr/lib/mainstay|$(PREFIX)/lib/mainstay|g; s|/usr/bin/mainstay|$(PREFIX)/bin/mainstay|g' $$u > $(I_UNITS)/$$(basename $$u); \
	chmod 0644 $(I_UNITS)/$$(basename $$u); done)
# install_person NAME: manual and completion of a program that people type
install_person = packaging/man/install $(B)/man $(1) $(I_SHARE)/man && \
	install -d $(I_SHARE)/bash-completion/completions $(I_SHARE)/zsh/vendor-completions && \
	$(B)/bin/$(1) completion bash > $(I_SHARE)/bash-completion/completions/$(1) && \
	$(B)/bin/$(1) completion zsh > $(I_SHARE)/zsh/vendor-completions/_$(1)
# install_users NAME: users and folders that systemd makes
install_users = for d in sysusers tmpfiles; do \
	install -D -m 0644 packaging/systemd/$(1).$$d $(DESTDIR)$(PREFIX)/lib/$$d.d/$(1).conf; done

.PHONY: install install-site install-hub install-desk install-release
install: install-site install-hub install-desk install-release  ## into DESTDIR and PREFIX (/usr): programs, units, manual, completion

install-site: $(STRIPPED) $(MANUAL)
	$(Q)$(call install_programs,$(I_BIN),$(SITE_BIN))
	$(Q)$(call install_programs,$(I_LIBEXEC),$(SITE_LIBEXEC))
	$(Q)$(call install_units,$(UNITS_SITE))
	$(Q)install -d $(I_UNITS)-generators && ln -sf $(PREFIX)/lib/mainstay/mainstay-collectd $(I_UNITS)-generators/mainstay-listen
	$(Q)$(call install_users,mainstay)
	$(Q)$(call install_person,mainstay)
	$(Q)install -d -m 0755 $(DESTDIR)$(SYSCONFDIR)/mainstay
	$(Q)[ -e $(DESTDIR)$(SYSCONFDIR)/mainstay/mainstay.yaml ] || \
		install -m 0644 packaging/etc/mainstay.yaml $(DESTDIR)$(SYSCONFDIR)/mainstay/
	$(Q)install -D -m 0644 -t $(I_SHARE)/doc/mainstay/examples packaging/etc/policy.yaml packaging/etc/cluster.yaml

install-hub: $(STRIPPED) $(MANUAL)
	$(Q)$(call install_programs,$(I_BIN),$(HUB_BIN))
	$(Q)$(call install_programs,$(I_LIBEXEC),$(HUB_LIBEXEC))
	$(Q)$(call install_units,$(UNITS_HUB))
	$(Q)$(call install_users,mainstay-hub)
	$(Q)$(call install_person,mainstay-hubd)

install-desk: $(STRIPPED) $(MANUAL)
	$(Q)$(call install_programs,$(I_BIN),$(DESK_BIN))
	$(Q)$(call install_person,mainstay-desk)

# A service's folder is what a release is built from.
install-release: $(STRIPPED) $(MANUAL)
	$(Q)$(call install_programs,$(I_BIN),$(RELEASE_BIN))
	$(Q)$(call install_person,mainstay-release)
	$(Q)for s in packaging/services/*/; do \
		d=$(I_SHARE)/mainstay/services/$$(basename $$s); install -d $$d; \
		for f in $$s*; do install -m $$([ -x $$f ] && echo 0755 || echo 0644) $$f $$d/; done; done

# --- Debian packages --------------------------------------------------------------------------------------
.PHONY: deb
deb: dependencies               ## Debian packages in build/deb: the same commit gives the same bytes
	$(Q)$(MAKE) -j$(JOBS) --no-print-directory all $(STRIPPED) $(MANUAL)
	$(Q)B=$(B) VERSION=$(VERSION) packaging/deb/make

.PHONY: check-packages
check-packages: deb             ## what the packages are: lintian, the same bytes twice, installed and purged in a root of their own
	$(Q)packaging/dependencies --packages
	$(Q)B=$(B) VERSION=$(VERSION) tests/suite packages

.PHONY: check-container
check-container: deb            ## the image of packaging/oci and the pod of packaging/kubernetes, played under podman (skips without podman, runc, mmdebstrap)
	$(Q)tests/suite container
